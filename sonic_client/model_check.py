"""Before the first event: a module's model as a server has it, held against all that is known of it here.

Three parties may speak of a model: the module (which tensors it makes and reads), each server (metadata and configuration),
and, if `client.files` names it, a folder on this machine with the model's own `config.pbtxt` and files. What they say must
agree; everything that does not is told at once, with what was near.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evproc.framework.errors import RequestRejected, did_you_mean

from .contract import compare
from .model_config import compare_files, file_digests
from .repository import read_metadata, why_unmade
from .tensor_faults import same_shape

if TYPE_CHECKING:
    from .producer import Client
    from .tensors import ModelMetadata
    from .transport import Transport


@dataclass(frozen=True, slots=True)
class Demand:
    """What a module wants of its model."""

    client: Client
    inputs: Mapping[str, str]
    """Name -> type of one row, as `float32[36]`."""
    outputs: Mapping[str, str]


async def fetch_metadata(transport: Transport, client: Client, seconds: float) -> ModelMetadata:
    """What a server says of a model. Raises InferenceError; where only the version is missing, with those that there are."""
    try:
        return await transport.metadata(client.model, client.version, seconds)
    except RequestRejected as error:
        if not client.version:
            raise
        try:
            versions = (await transport.metadata(client.model, "", seconds)).versions
        except RequestRejected:
            raise error from None
        raise RequestRejected(f"{error}; it has version {', '.join(versions)}") from error


def check_model(
    demand: Demand,
    metadata: ModelMetadata,
    server: str,
    *,
    elsewhere: ModelMetadata | None = None,
    repository: Path | None = None,
) -> list[str]:
    """What of a model on a server does not agree.

    elsewhere: what another server says of the same model; requests must fit both, also in what the module leaves open.
    repository: the server's model repository, if it is at hand.
    """
    client = demand.client
    wrong = compare(metadata, demand.inputs, demand.outputs, server)
    about = f"model '{metadata.name}' on {server}"
    if elsewhere is not None and not wrong:
        wrong += differences(metadata, elsewhere, about, "on another server")
    version = client.version or max(metadata.versions, key=lambda name: (len(name), name), default="")
    if client.version and metadata.versions and client.version not in metadata.versions:
        near = did_you_mean(client.version, metadata.versions) or f"; it has {', '.join(metadata.versions)}"
        wrong.append(f"{about} has no version {client.version}{near}")
    elif client.files:
        wrong += _check_files(Path(client.files), version, metadata, about, repository)
    return wrong


def check_repository(demand: Demand, folder: Path) -> list[str]:
    """What of a model in the repository of a server that is yet to be started does not agree."""
    try:
        metadata = read_metadata(folder, demand.client.model)
    except ValueError as error:
        return [str(error)]
    wrong = check_model(demand, metadata, f"the repository '{folder}'", repository=folder)
    if unmade := why_unmade(folder / demand.client.model):
        return [*wrong, unmade]
    text = [spec.name for spec in (*metadata.inputs, *metadata.outputs) if spec.dtype.hasobject]
    if text and int(np.__version__.split(".")[0]) > 1:
        wrong.append(
            f"model '{metadata.name}' has a tensor of type BYTES, '{text[0]}', which the server that evproc brings cannot "
            f"carry with NumPy {np.__version__}: its Python backend needs NumPy 1 for that"
        )
    return wrong


def differences(mine: ModelMetadata, theirs: ModelMetadata, about: str, elsewhere: str) -> list[str]:
    """Where two descriptions of a model differ. What one of them leaves out, as a configuration may, is no difference."""
    wrong = []
    if (mine.max_batch_size < 1) != (theirs.max_batch_size < 1) and mine.inputs and theirs.inputs:
        words = ("a", "none") if mine.max_batch_size else ("no", "one")
        wrong.append(f"{about} has {words[0]} batch dimension, and {elsewhere} {words[1]}")
    for kind, here, there in (("input", mine.inputs, theirs.inputs), ("output", mine.outputs, theirs.outputs)):
        others = {spec.name: spec for spec in there}
        names = {spec.name for spec in here}
        for spec in here if there else ():
            other = others.get(spec.name)
            if other is None:
                wrong.append(f"{about} has {kind} '{spec.name}', which is not there {elsewhere}")
            elif spec.dtype != other.dtype or not same_shape(spec.shape, other.shape):
                wrong.append(f"{kind} '{spec.name}' of {about} is {spec}, and {elsewhere} {other}")
        wrong += [
            f"{about} has no {kind} '{name}', which is there {elsewhere}"
            for name in others
            if here and name not in names
        ]
    return wrong


def _check_files(folder: Path, version: str, metadata: ModelMetadata, about: str, repository: Path | None) -> list[str]:
    """The model's folder on this machine, held against the server's model."""
    try:
        wrong = differences(metadata, read_metadata(folder.parent, folder.name), about, f"in '{folder}'")
    except ValueError as error:
        return [f"client.files: {error}"]
    if repository is None:
        return wrong + compare_files(folder, version, metadata.digests, about)
    own = repository / metadata.name
    return wrong if own.samefile(folder) else wrong + compare_files(folder, version, file_digests(own, version), about)
