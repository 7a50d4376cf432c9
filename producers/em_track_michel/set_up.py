"""Makes the weights of EmTrackMichelId, 48 MB, which are too large to be kept under version control.

    python -m evproc.producers.em_track_michel.set_up

Where torch is installed (the extra `train`) the network is trained on the toy, which takes minutes; elsewhere, or with
`--untrained`, it gets the seeded weights with which training would begin. Which of both it was is written into the ONNX file's
notes (`weights`: trained or untrained), and pictures and pages say it.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evproc.producers.onnx_graph import write_onnx

from .network import MODEL, initial_parameters, onnx_model

COMMAND = "python -m evproc.producers.em_track_michel.set_up"
REPOSITORY = Path("models")
TRAINED, UNTRAINED, UNKNOWN = "trained", "untrained", "unknown"


def model_file(repository: Path = REPOSITORY) -> Path:
    """Where the weights belong in a model repository."""
    return repository / MODEL / "1" / "model.onnx"


def can_train() -> bool:
    """Whether torch is installed. Asked for, not imported: that takes seconds."""
    return find_spec("torch") is not None


def make_untrained(path: Path, seed: int = 1) -> None:
    """Write the network with the weights that training would begin with."""
    metadata = {"weights": UNTRAINED, "seed": str(seed)}
    write_onnx(onnx_model(initial_parameters(seed), metadata), path)


def make_trained(path: Path, seed: int = 1, events: int | None = None, epochs: int | None = None) -> None:
    """Train the network on the toy, and write it."""
    import torch  # pyright: ignore[reportMissingImports]

    from . import training

    events, epochs = events or training.EVENTS, epochs or training.EPOCHS
    begin = time.perf_counter()
    patches = training.training_patches(events, training.TRAINING_SEEDS + seed)
    print(f"{len(patches):,} patches of {events} events in {time.perf_counter() - begin:.0f} s", flush=True)  # noqa: T201
    parameters = training.train(patches, seed=seed, epochs=epochs, report=True)
    metadata = {
        "weights": TRAINED,
        "seed": str(seed),
        "events": str(events),
        "epochs": str(epochs),
        "patches": str(len(patches)),
        "torch": str(torch.__version__).split("+")[0],
    }
    write_onnx(onnx_model(parameters, metadata), path)


def notes(path: Path) -> dict[str, str]:
    """What an ONNX file says of itself; `weights` is `unknown` if there is no file, or nothing to read it with."""
    if not path.is_file() or find_spec("onnxruntime") is None:
        return {"weights": UNKNOWN}
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {"weights": UNKNOWN, **session.get_modelmeta().custom_metadata_map}


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.em_track_michel.set_up`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Make the weights of EmTrackMichelId.")
    parser.add_argument(
        "--models", type=Path, default=REPOSITORY, help="model repository to write into (default: %(default)s)"
    )
    parser.add_argument("--untrained", action="store_true", help="seeded initial weights, also where torch is there")
    parser.add_argument("--seed", type=int, default=1, help="seed of network and sample (default: %(default)s)")
    parser.add_argument("--events", type=int, help="events to train on")
    parser.add_argument("--epochs", type=int, help="passes over their patches")
    chosen = parser.parse_args(arguments)
    path = model_file(chosen.models)
    if not (path.parent.parent / "config.pbtxt").is_file():
        parser.error(f"{chosen.models} has no {MODEL}/config.pbtxt; --models names the model repository")
    if find_spec("onnx") is None:
        parser.error("onnx is not installed, and writes the file: pip install 'evproc[systems]'")
    begin = time.perf_counter()
    try:
        path.parent.mkdir(exist_ok=True)
        if chosen.untrained or not can_train():
            make_untrained(path, chosen.seed)
            which = f"{UNTRAINED}: " + (
                "as asked for" if chosen.untrained else "torch is not installed (evproc[train])"
            )
        else:
            make_trained(path, chosen.seed, chosen.events, chosen.epochs)
            which = TRAINED
    except OSError as error:
        parser.error(f"cannot write {path}: {error.strerror}")
    size = os.path.getsize(path) / 1e6  # noqa: PTH202
    print(f"{path}: {size:.1f} MB, {which}, after {time.perf_counter() - begin:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
