"""Makes ResNet-50's file in a model repository, where there is none: 94 MB are too many to ship.

    python -m evproc.producers.top_tagger.setup models

The network is untrained, and its file says so; a trained one, made by resnet50_training.py, is left as it is.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from evproc.framework import Fault, Module
from evproc.sonic_client import InferenceService

from .producer import TopTaggerProducer
from .resnet50 import resnet50_model, resnet50_parameters, untrained_notes

MODEL = "resnet50_top_tagger"


def make_resnet50(repository: str | Path, seed: int = 1) -> Path:
    """The file of ResNet-50 in a model repository; it is made, untrained, if it is not there. Takes 3 s and 0.7 GB.

    raises OSError: the file cannot be written
    """
    from evproc.producers.onnx_graph import write_onnx

    path = Path(repository) / MODEL / "1" / "model.onnx"
    if not path.exists():
        write_onnx(resnet50_model(resnet50_parameters(seed), untrained_notes(seed)), path)
    return path


def weights_of(path: str | Path) -> str:
    """What a model's file says of its weights: "trained" or "untrained"; empty if it says nothing, or is not there."""
    if not Path(path).is_file() or find_spec("onnx") is None:
        return ""
    import onnx

    notes = onnx.load(Path(path)).metadata_props
    return next((note.value for note in notes if note.key == "weights"), "")


class TopTaggerService(InferenceService):
    """An inference service that makes ResNet-50's file if a module asks for it and only its own server could serve it."""

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Make the file if it is needed and absent; then as every inference service."""
        config = self.config
        asked = any(
            isinstance(module, TopTaggerProducer) and module.config.client.model == MODEL for module in modules.values()
        )
        if asked and config.fallback is not None and not config.servers and not config.servers_file:
            repository = Path(config.fallback.models)
            if (repository / MODEL).is_dir() and not (repository / MODEL / "1" / "model.onnx").exists():
                if find_spec("onnx") is None:
                    missing = f"'{MODEL}' is made with onnx: pip install 'evproc[systems]'"
                    return [Fault(missing, self.label, "fallback", self.where)]
                print(f"making {repository / MODEL / '1' / 'model.onnx'}: untrained, 94 MB", flush=True)  # noqa: T201
                try:
                    await asyncio.to_thread(make_resnet50, repository)
                except OSError as error:
                    return [Fault(f"cannot make '{MODEL}': {error}", self.label, "fallback", self.where)]
        return await super().check(modules)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.setup models`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.top_tagger.setup", description="Make ResNet-50's file, untrained."
    )
    parser.add_argument("repository", type=Path, help="the model repository, a folder")
    parser.add_argument("--seed", type=int, default=1, help="seed of the initial weights (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    path = make_resnet50(chosen.repository, chosen.seed)
    print(f"{path}: {weights_of(path)}")  # noqa: T201


if __name__ == "__main__":
    main()
