"""A model repository on disk: `NAME/config.pbtxt` and `NAME/1/model.onnx`, as Triton reads it.

A repository under version control may hold the configuration of a model whose weights are too large to be kept there. Such
a model has *no version*: no numbered folder, or one without a file. It is left out when all models are served, and asking
for it names the command that makes it, which the configuration states in a parameter that every backend ignores:

    parameters { key: "made_by" value { string_value: "python -m evproc.producers.em_track_michel.set_up" } }
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from evproc.framework.errors import did_you_mean

from .model_config import stated_digests, unsupported
from .tensors import ModelMetadata, TensorSpec, dtype_of


def repository_models(folder: Path) -> list[str]:
    """The models of a repository, by name, sorted. Raises ValueError if the folder is not there."""
    if not folder.is_dir():
        raise ValueError(f"the model repository '{folder}' is not there")
    return sorted(entry.name for entry in folder.iterdir() if (entry / "config.pbtxt").is_file())


def why_unmade(folder: Path) -> str:
    """That the model in a folder has no version, and what makes one; empty if it has one, or no configuration."""
    config = folder / "config.pbtxt"
    if not config.is_file():
        return ""
    text = config.read_text()
    of_files = re.search(r'^\s*platform\s*:\s*"ensemble"', text, re.MULTILINE) is None
    versions = [entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    if any(not of_files or any(entry.name[0] != "." for entry in version.iterdir()) for version in versions):
        return ""
    made_by = re.search(r'key\s*:\s*"made_by"\s*,?\s*value\s*:?\s*\{\s*string_value\s*:\s*"([^"]+)"', text)
    how = f"; make it: {made_by[1]}" if made_by else ""
    return f"model '{folder.name}' in '{folder.parent}' has no version{how}"


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
