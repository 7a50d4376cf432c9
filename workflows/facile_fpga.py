"""The main job, facile.py, on four kinds of service: one switch, the same products.

    evproc run workflows/facile_fpga.py                                # float network on Triton (CPU, or a GPU's)
    evproc run workflows/facile_fpga.py -o energy.case=fpga            # the FPGA design, as a model on Triton
    evproc run workflows/facile_fpga.py -o energy.case=faast           # the FPGA design behind FaaST's protocol (TRTIS v1)
    evproc run workflows/facile_fpga.py -o energy.case=brainwave       # a service that speaks as Azure's Brainwave does

All run on this machine: what stands for the FPGA is hls4ml's bit-accurate emulation (docs/fpga.md). A card elsewhere is
named as any server is: `-o energy.case=faast -o energy.faast.client.model=facile -o inference.servers=[trtis://fpga1:5001]`.
"""

from pathlib import Path as FilePath

from evproc.framework import Fault, Parameter, Process, SwitchProducer
from evproc.producers.facile import FacileProducer, FpgaFacileProducer
from evproc.sonic_client import Client, Connection, LocalService

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
process.load("facile.py")
process.source.set(events=20)
process.plot.set(plot=str(OUTPUT / "facile_fpga.png"))
process.out.set(file=str(OUTPUT / "facile_fpga.root"))

process.energy = SwitchProducer(
    triton=FacileProducer(client=Client(model="facile")),
    fpga=FpgaOnTriton(client=Client(model="facile_fpga", timeout=300.0)),
    faast=FpgaFacileProducer(client=Client(model="facile_faast", timeout=300.0)),
    brainwave=FacileProducer(client=Client(model="facile_brainwave")),
    case="triton",
)

FAAST = ["python", "-m", "evproc.producers.facile.faast_server", "--model", "facile_faast"]
NETWORK = str(REPOSITORY / "facile" / "1" / "model.onnx")
BRAINWAVE = [
    "python",
    "-m",
    "evproc.sonic_client.brainwave_service",
    NETWORK,
    "--name",
    "facile_brainwave",
    "--key",
    "input",
]
process.inference.set(
    local=[
        LocalService(models=["facile_faast"], command=FAAST),
        LocalService(models=["facile_brainwave"], command=BRAINWAVE),
    ],
    connection=Connection(descriptions=str(HERE / "descriptions")),
)
