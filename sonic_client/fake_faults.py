"""What a fake server may do instead of answering well. Each is one request's misfortune, scripted by a test.

Unavailable  Reject  Refuse        an error in place of the answer
Delay  HalfOpen  Crash             the answer late; never; the server gone
WrongRows  WrongShape  WrongDtype  WrongName  Truncated      an answer that is not what was asked for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evproc.framework.errors import did_you_mean

from .tensors import Array


class Fault:
    """The base of all faults."""


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """Answer with a gRPC status, by its name, and some words."""

    status: str = "INTERNAL"
    words: str = "scripted fault"

    def __post_init__(self) -> None:
        from grpclib.const import Status

        if self.status not in Status.__members__:
            raise ValueError(f"gRPC has no status '{self.status}'{did_you_mean(self.status, Status.__members__)}")


@dataclass(frozen=True, slots=True)
class Unavailable(Refuse):
    """Answer that the server cannot take the request now."""

    status: str = field(default="UNAVAILABLE", init=False)


@dataclass(frozen=True, slots=True)
class Reject(Refuse):
    """Answer that the request is wrong; sending it again would not help."""

    status: str = field(default="INVALID_ARGUMENT", init=False)


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """Answer well, but late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HalfOpen(Fault):
    """Take the request, and never answer."""


@dataclass(frozen=True, slots=True)
class Crash(Fault):
    """Drop all connections and stop listening, as a process does that is killed. `FakeServer.restart` brings it back."""


class WrongAnswer(Fault):
    """The base of faults that spoil the answer."""

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs to answer with, in place of the right ones."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class WrongRows(WrongAnswer):
    """Answer with more or fewer rows than the request had."""

    by: int = 1

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Each output with `by` more rows, which repeat the last; or fewer."""
        return {
            name: array[: self.by] if self.by < 0 else np.concatenate([array, *[array[-1:]] * self.by])
            for name, array in outputs.items()
        }


@dataclass(frozen=True, slots=True)
class WrongShape(WrongAnswer):
    """Answer with one more dimension, of extent 1."""

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Each output with one more dimension, the last."""
        return {name: array[..., np.newaxis] for name, array in outputs.items()}


@dataclass(frozen=True, slots=True)
class WrongDtype(WrongAnswer):
    """Answer with another type."""

    dtype: str = "float64"

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Each output as this type."""
        return {name: array.astype(self.dtype) for name, array in outputs.items()}


@dataclass(frozen=True, slots=True)
class WrongName(WrongAnswer):
    """Answer with outputs of other names."""

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Each output under its name with a prefix."""
        return {f"not_{name}": array for name, array in outputs.items()}


@dataclass(frozen=True, slots=True)
class Truncated(Fault):
    """Answer with the right shape and fewer bytes than it takes."""
