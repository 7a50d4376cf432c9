"""A model repository on disk: `NAME/config.pbtxt` and `NAME/1/model.onnx`, as Triton reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from evproc.framework.errors import did_you_mean

from .model_config import stated_digests, unsupported
from .tensors import ModelMetadata, TensorSpec, dtype_of


def repository_models(folder: Path) -> list[str]:
    """The models of a repository, by name, sorted. Raises ValueError if the folder is not there."""
    if not folder.is_dir():
        raise ValueError(f"the model repository '{folder}' is not there")
    return sorted(entry.name for entry in folder.iterdir() if (entry / "config.pbtxt").is_file())


def checksum(folder: Path, model: str) -> str:
    """SHA-256, in hexadecimal, over names and contents of all files of a model; empty if there are none."""
    files = sorted(path for path in (folder / model).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if not files:
        return ""
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(folder / model).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_metadata(folder: Path, model: str) -> ModelMetadata:
    """What `config.pbtxt` says of a model. Raises ValueError if there is none, or it cannot be read."""
    path = folder / model / "config.pbtxt"
    if not path.is_file():
        hint = did_you_mean(model, repository_models(folder))
        raise ValueError(f"the model repository '{folder}' has no model '{model}'{hint}")
    from google.protobuf import text_format

    from .messages import model_config as messages

    config = messages.ModelConfig()
    try:
        text_format.Parse(path.read_text(), config)
    except text_format.ParseError as error:
        raise ValueError(f"{path} is no configuration of a model: {error}") from None
    names = messages.DataType.Name
    versions = sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir() and entry.name.isdecimal())
    return ModelMetadata(
        model,
        tuple(versions),
        config.backend or config.platform,
        config.max_batch_size,
        tuple(
            TensorSpec(spec.name, dtype_of(names(spec.data_type)), tuple(spec.dims), spec.optional)
            for spec in config.input
        ),
        tuple(TensorSpec(spec.name, dtype_of(names(spec.data_type)), tuple(spec.dims)) for spec in config.output),
        unsupported(config),
        stated_digests(config),
    )
