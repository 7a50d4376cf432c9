"""Models that a server loads because a job needs them: counted, so that the last who needs one has it unloaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

from .transport import Transport


class LoadingTransport(Transport, Protocol):
    """A transport to a server that loads and unloads models when it is told to. Both raise InferenceError."""

    async def load(self, model: str, timeout: float) -> None:  # noqa: ASYNC109
        """Have a model of the server's repository loaded."""
        ...

    async def unload(self, model: str, timeout: float) -> None:  # noqa: ASYNC109
        """Have it unloaded."""
        ...


def can_load(transport: Transport) -> TypeGuard[LoadingTransport]:
    """Whether a transport can have models loaded."""
    return hasattr(transport, "load") and hasattr(transport, "unload")


@dataclass(slots=True)
class LoadCount:
    """How many need each model on each server. Pure."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, server: str, model: str) -> bool:
        """One more needs a model; returns whether it has to be loaded now."""
        count = self.counts.get((server, model), 0)
        self.counts[server, model] = count + 1
        return count == 0

    def give(self, server: str, model: str) -> bool:
        """One fewer needs it; returns whether it has to be unloaded now. False if nobody needed it."""
        count = self.counts.get((server, model), 0)
        if count <= 1:
            self.counts.pop((server, model), None)
            return count == 1
        self.counts[server, model] = count - 1
        return False

    def count(self, server: str, model: str) -> int:
        """How many need it."""
        return self.counts.get((server, model), 0)

    def all(self) -> list[tuple[str, str]]:
        """(server, model) of all that are needed."""
        return list(self.counts)
