"""The models of a fake server, how long they take, and what is kept of a request."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from .tensors import Array, TensorSpec

if TYPE_CHECKING:
    from .fake_faults import Fault

Arrays = Mapping[str, Array]
Latency: TypeAlias = float | Callable[[random.Random], float]
"""Seconds, or a function that draws them."""


@dataclass(frozen=True)
class FakeModel:
    """A model of a fake server."""

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    function: Callable[[dict[str, Array]], Arrays]
    """Inputs by name, with the batch dimension first if there is one, to outputs by name."""
    max_batch_size: int = 1024
    """0: no batch dimension."""
    latency: Latency = 0.0
    """s, added to every answer, concurrently; or a distribution: `lognormal`, `with_tail`, any function of a Random."""
    compute_time: float | Callable[[int], float] = 0.0
    """s for which a request keeps an instance of the server to itself; or a function of its rows."""
    version: str = "1"
    """The one version that there is."""
    loaded: bool = True
    """Whether it is ready from the start; if not, a client may load it."""

    def busy(self, rows: int) -> float:
        """The time that a request of so many rows takes, s."""
        return self.compute_time(rows) if callable(self.compute_time) else self.compute_time

    def delay(self, lots: random.Random) -> float:
        """The latency of one answer, s."""
        return self.latency(lots) if callable(self.latency) else self.latency


@dataclass
class Received:
    """A request that a fake server received."""

    model: str
    version: str
    request_id: str
    rows: int
    bytes: int
    """Of the input tensors."""
    inputs: dict[str, Array] = field(repr=False)
    """Empty unless the server was made with `keep_inputs=True`."""
    fault: Fault | None = None
    """The scripted fault that it met."""
    outcome: str = "open"
    """`open`, then `answered`, `refused`, or `cancelled` (by the client, or because its connection is gone)."""
    time: float = 0.0
    """Of its arrival, s since the start of the server."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """The gRPC metadata that came with it, texts only."""
    deadline: float | None = None
    """s that the client had left when it arrived; None: it set no deadline."""


def lognormal(median: float, p99: float) -> Callable[[random.Random], float]:
    """A latency with a tail to long times: half of the answers take longer than `median` s, one in a hundred than `p99` s."""
    sigma = math.log(p99 / median) / 2.3263478740408408  # the 0.99 quantile of the normal distribution
    return lambda lots: lots.lognormvariate(math.log(median), sigma)


def with_tail(usual: float, share: float, slow: float) -> Callable[[random.Random], float]:
    """A latency of `usual` s, and of `slow` s for a share of the answers."""
    return lambda lots: slow if lots.random() < share else usual
