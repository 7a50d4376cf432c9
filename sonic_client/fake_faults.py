"""What a fake server may do instead of answering well. Each is one call's misfortune, scripted by a test.

Unavailable  Saturated  Reject  Refuse    an error in place of the answer
Delay  Never  Twice                       the answer late; never; two of them
GoAway  HalfOpen  Crash                   the connection given up; silent, and open for ever; the server gone
WrongRows  WrongShape  WrongDtype  WrongName  NotFinite  Truncated      an answer that is not what was asked for

`during` and `chance` make scripts of them: by time, and by lot.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evproc.framework.errors import did_you_mean

from .tensors import Array

if TYPE_CHECKING:
    from .fake_model import Received


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
class Saturated(Refuse):
    """Answer that too many requests wait already: the server is well, and has enough to do."""

    status: str = field(default="UNAVAILABLE", init=False)
    words: str = "Exceeds maximum queue size"


@dataclass(frozen=True, slots=True)
class Reject(Refuse):
    """Answer that the request is wrong; sending it again would not help."""

    status: str = field(default="INVALID_ARGUMENT", init=False)


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """Answer well, but late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Never(Fault):
    """Take the request, and never answer. The connection is well, and serves others."""


@dataclass(frozen=True, slots=True)
class Twice(Fault):
    """Answer well, and then once more."""


@dataclass(frozen=True, slots=True)
class GoAway(Fault):
    """Give up the connection with HTTP/2's GOAWAY, which says that this request was not taken; those before it are
    answered. With `drop` nobody is: the frame says that the client asks too much, and the connection is closed."""

    drop: bool = False


@dataclass(frozen=True, slots=True)
class HalfOpen(Fault):
    """From this request on the connection is silent in both directions and stays open, as when the machine or the network
    behind it has vanished. New connections are served."""


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
class NotFinite(WrongAnswer):
    """Answer with one element of each output of floats replaced, the last: NaN, or an infinity."""

    value: float = float("nan")

    def spoil(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Each output of floats with another last element."""
        spoiled = {name: array.copy() for name, array in outputs.items()}
        for array in spoiled.values():
            if array.size and array.dtype.kind == "f":
                array.flat[-1] = self.value
        return spoiled


@dataclass(frozen=True, slots=True)
class Truncated(Fault):
    """Answer with the right shape and fewer bytes than it takes."""


def during(begin: float, end: float, fault: Fault) -> Callable[[float], Fault | None]:
    """A condition of a server: a fault from `begin` to `end`, in seconds since its start."""
    return lambda time: fault if begin <= time < end else None


def chance(*faults: tuple[float, Fault], seed: int = 0) -> Callable[[Received], Fault | None]:
    """Faults by lot: `chance((0.1, Unavailable()), (0.01, Delay(2.0)))` meets a tenth and a hundredth of the requests.

    The lots are drawn in the order of arrival, the same for the same seed.
    """
    lots = random.Random(seed)

    def draw(request: Received) -> Fault | None:
        lot = lots.random()
        for share, fault in faults:
            if lot < share:
                return fault
            lot -= share
        return None

    return draw
