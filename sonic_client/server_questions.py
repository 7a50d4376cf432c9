"""What `evproc server` asks: a server's state and models, a repository's models, a log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from evproc.framework.errors import InferenceError, ServerUnavailable

from .repository import read_metadata, repository_models, why_unmade
from .server_registry import KnownServer
from .tensors import ModelMetadata
from .transport import Transport, open_transport

_TIMEOUT = 5.0  # s, for one question
_POLL = 0.1  # s, between looks at a log


@dataclass(frozen=True, slots=True)
class State:
    """How a server is."""

    ready: bool
    text: str


def state_of(server: KnownServer) -> State:
    """Whether a server runs and answers, in a line."""
    if not server.running:
        return State(False, f"server '{server.name}': has ended by itself; its log: {server.log}")

    async def ask() -> tuple[str, ...]:
        transport = open_transport(server.url, shared_memory=False)
        try:
            return await transport.models(_TIMEOUT)
        finally:
            await transport.close()

    age = timedelta(seconds=round(time.time() - server.since))
    where = f"server '{server.name}': {server.url}"
    try:
        models = asyncio.run(ask())
    except InferenceError as error:
        return State(False, f"{where}, process {server.pid}, for {age}, does not answer: {error}")
    return State(True, f"{where}, process {server.pid}, for {age}, models {', '.join(models) or 'none'}")


def models_of(url: str) -> list[str]:
    """A text for each model that a server has. Raises ServerUnavailable, or ValueError's words as one."""

    async def ask(transport: Transport) -> list[ModelMetadata]:
        try:
            return [await transport.metadata(name, "", _TIMEOUT) for name in await transport.models(_TIMEOUT)]
        finally:
            await transport.close()

    try:
        transport = open_transport(url, shared_memory=False)
    except ValueError as error:
        raise ServerUnavailable(str(error)) from None
    return [described(metadata) for metadata in asyncio.run(ask(transport))]


def models_in(repository: Path) -> list[str]:
    """A text for each model of a repository."""
    try:
        return [
            described(read_metadata(repository, name), why_unmade(repository / name))
            for name in repository_models(repository)
        ]
    except ValueError as error:
        raise ServerUnavailable(str(error)) from None


def described(metadata: ModelMetadata, unmade: str = "") -> str:
    """A model in a few lines: what runs it, its versions, the most rows, its tensors; `unmade` is why it has no version."""
    rows = f"up to {metadata.max_batch_size} rows" if metadata.max_batch_size else "no batch dimension"
    versions = (
        f"version {', '.join(metadata.versions)}" if not unmade else f"no version{unmade.partition('no version')[2]}"
    )
    lines = [f"{metadata.name}  ({metadata.platform or 'backend unknown'}, {versions}; {rows})"]
    lines += [f"  in   {spec}" for spec in metadata.inputs]
    lines += [f"  out  {spec}" for spec in metadata.outputs]
    return "\n".join(lines)


def last_lines(log: Path, lines: int) -> tuple[str, int]:
    """The last lines of a log, and how long it is in bytes. Raises ServerUnavailable if it is gone."""
    try:
        data = log.read_bytes()
    except OSError as error:
        raise ServerUnavailable(f"the log {log} cannot be read: {error.strerror}") from None
    kept = data.splitlines(keepends=True)[-lines:]
    return b"".join(kept).decode(errors="replace"), len(data)


def follow_log(server: KnownServer, begin: int) -> Iterator[str]:
    """What a log grows by, until the server ends."""
    with Path(server.log).open("rb") as log:
        log.seek(begin)
        while True:
            running = server.running
            if data := log.read():
                yield data.decode(errors="replace")
            elif not running:
                return
            else:
                time.sleep(_POLL)
