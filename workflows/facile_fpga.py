"""FACILE on four kinds of service: one switch, the same products.

    evproc run workflows/facile_fpga.py                                # float network on Triton (CPU, or a GPU's)
    evproc run workflows/facile_fpga.py -o energy.case=fpga            # the FPGA design, as a model on Triton
    evproc run workflows/facile_fpga.py -o energy.case=faast           # the FPGA design behind FaaST's protocol (TRTIS v1)
    evproc run workflows/facile_fpga.py -o energy.case=brainwave       # a service that speaks as Azure's Brainwave does

All run on this machine: what stands for the FPGA is hls4ml's bit-accurate emulation (docs/fpga.md). A card elsewhere is
named as any server is: `-o energy.case=faast -o energy.faast.client.model=facile -o inference.servers=[trtis://fpga1:5001]`.
"""

from pathlib import Path as FilePath

from evproc.framework import EndPath, Fault, Parameter, Path, Process, SwitchProducer
from evproc.modules import NtupleOutput, ScalarSumFilter
from evproc.producers.facile import ChargeSumProducer, FacilePerformance, FacileProducer, FpgaFacileProducer
from evproc.sonic_client import Client, Connection, Fallback, InferenceService, LocalService
from evproc.workflows.facile import ToySource

HERE = FilePath(__file__).resolve().parent
REPOSITORY = HERE.parent / "models"
OUTPUT = FilePath("output")


class FpgaOnTriton(FpgaFacileProducer):
    """The FPGA design on Triton. It is compiled into the model repository if it is not there."""

    class Config(FpgaFacileProducer.Config):
        """Channels in, energies out."""

        models: str = Parameter(
            str(REPOSITORY), description="model repository that gets the design; empty: it is elsewhere", placement=True
        )

    config: Config

    def check(self) -> list[Fault]:
        """Make the model, if there is none."""
        version = FilePath(self.config.models, self.config.client.model, "1")
        if self.config.models and not version.exists():
            from evproc.producers.facile.fpga_library import make_version

            print(f"making {version}: FACILE's FPGA design, compiled by hls4ml and g++", flush=True)  # noqa: T201
            make_version(version)
        return super().check()


process = Process("FACILE_FPGA")
process.source = ToySource(events=20)
process.inference = InferenceService(
    fallback=Fallback(models=str(REPOSITORY)),
    local=[
        LocalService(
            models=["facile_faast"],
            command=["python", "-m", "evproc.producers.facile.faast_server", "--model", "facile_faast"],
        ),
        LocalService(
            models=["facile_brainwave"],
            command=[
                *("python", "-m", "evproc.sonic_client.brainwave_service", str(REPOSITORY / "facile/1/model.onnx")),
                *("--name", "facile_brainwave", "--key", "input"),
            ],
        ),
    ],
    connection=Connection(descriptions=str(HERE / "descriptions")),
)

process.energy = SwitchProducer(
    triton=FacileProducer(client=Client(model="facile")),
    fpga=FpgaOnTriton(client=Client(model="facile_fpga")),
    faast=FpgaFacileProducer(client=Client(model="facile_faast")),
    brainwave=FacileProducer(client=Client(model="facile_brainwave")),
    case="triton",
)
process.charge_sum = ChargeSumProducer()
process.busy = ScalarSumFilter(of="energy", above=50.0)
process.plot = FacilePerformance(plot=str(OUTPUT / "facile_fpga.png"))
process.out = NtupleOutput(file=str(OUTPUT / "facile_fpga.root"), keep=["energy", "charge_sum"], select=["reco"])

process.reco = Path(process.energy, process.busy)
process.end = EndPath(process.plot, process.out)
