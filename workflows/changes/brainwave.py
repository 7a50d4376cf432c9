"""Changes the workflow of the top tagger: ResNet-50 on a service that speaks as Azure's Brainwave does.

    evproc run workflows/top_tagger.py --network resnet50 --events 20 --customise workflows/changes/brainwave.py:brainwave

The service is one of this machine (docs/fpga.md), unless a server is named:
`-o inference.servers=[brainwave://fpga1:80/resnet50_brainwave]`. ResNet-50 is untrained, unless its file has been replaced.
"""

from pathlib import Path as FilePath

from evproc.framework import Process
from evproc.producers.top_tagger import make_resnet50
from evproc.sonic_client import Connection, LocalService

HERE = FilePath(__file__).resolve().parent.parent
REPOSITORY = HERE.parent / "models"
MODEL = "resnet50_brainwave"


def brainwave(process: Process) -> None:
    """One picture in a request, under the key `image`; who reads `top_score` does not notice."""
    network = REPOSITORY / "resnet50_top_tagger" / "1" / "model.onnx"
    if not network.exists():
        print(f"making {network}: untrained, 94 MB", flush=True)  # noqa: T201
        make_resnet50(REPOSITORY)
    command = ["python", "-m", "evproc.sonic_client.brainwave_service", str(network), "--name", MODEL, "--key", "image"]
    process.inference.set(
        local=[LocalService(models=[MODEL], command=command)],
        connection=Connection(descriptions=str(HERE / "descriptions")),
    )
    process.top_score.set(**{"client.model": MODEL})
