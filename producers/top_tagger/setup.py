"""Makes ResNet-50's file in a model repository, where there is none: 94 MB are too many to ship.

    python -m evproc.producers.top_tagger.setup models

The network is untrained, and its file says so; a trained one, made by resnet50_training.py, is left as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .resnet50 import resnet50_model, resnet50_parameters, untrained_notes

MODEL = "resnet50_top_tagger"


def make_resnet50(repository: str | Path, seed: int = 1) -> Path:
    """The file of ResNet-50 in a model repository; it is made, untrained, if it is not there. Takes 3 s.

    raises OSError: the file cannot be written
    """
    from evproc.producers.onnx_graph import write_onnx

    path = Path(repository) / MODEL / "1" / "model.onnx"
    if not path.exists():
        write_onnx(resnet50_model(resnet50_parameters(seed), untrained_notes(seed)), path)
    return path


def training_of(path: str | Path) -> str:
    """What a model's file says of its training, such as "untrained: initial weights"; empty if it says nothing."""
    import onnx

    notes = onnx.load(Path(path)).metadata_props
    return next((note.value for note in notes if note.key == "training"), "")


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.setup models`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.top_tagger.setup", description="Make ResNet-50's file, untrained."
    )
    parser.add_argument("repository", type=Path, help="the model repository, a folder")
    parser.add_argument("--seed", type=int, default=1, help="seed of the initial weights (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    path = make_resnet50(chosen.repository, chosen.seed)
    print(f"{path}: {training_of(path)}")  # noqa: T201


if __name__ == "__main__":
    main()
