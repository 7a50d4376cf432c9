"""Events whose inputs are too large to be held at once: made piece by piece, as requests go out.

The problem: one event of a liquid-argon detector has 55,000 hits, and a picture of 9 kB for each: 500 MB of inputs, which a
block of events would multiply. Held are a few MB of waveforms, of which the pictures are made.

The policy: `acquire` returns `Pieces`: how many rows the event has, and a function that makes some of them. A task of the
event loop makes as many as a request of this client takes (`max_rows`, `max_request`, the model's `max_batch_size`), hands
them to the queue, and goes on while few enough bytes are under way: the job's budget of external work, but two requests at
least, so that one can be made while the other is computed. Which rows travel together, and every answer, are the same as if
all had been handed over at once.

Pieces of more than `SLICE_BYTES` are made in slices, with a turn of the event loop between them, so that answers are taken
meanwhile.

The cost: what `make` costs is the event loop's time, as `acquire` would be; about 50 us a request. Only for models whose
tensors have fixed shapes and a batch dimension.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract import empty_outputs
from .tensor_faults import contract_fault, fault_of
from .tensors import Array

if TYPE_CHECKING:
    from evproc.framework.event import EventID

    from .model_queue import ModelQueue

SLICE_BYTES = 2 << 20
"""Bytes that are made in one go."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The inputs of one event, made when they are sent."""

    rows: int
    """Rows of the event."""
    make: Callable[[int, int], Mapping[str, Array]]
    """The rows from one number to another: name -> (rows, ...). Called once for each row, in order."""
    nbytes: int = 0
    """Bytes that are held to make them."""


@dataclass(slots=True)
class Sender:
    """Sends the rows of some events, each of which is in pieces."""

    queue: ModelQueue
    names: tuple[str, ...]
    """Outputs that are asked for; all if none is named."""
    budget: int
    """Bytes that may be under way."""
    events: tuple[EventID, EventID] | None

    @property
    def row_bytes(self) -> int:
        """Bytes of the inputs of a row."""
        return sum(spec.dtype.itemsize * prod(spec.shape) for spec in self.queue.metadata.inputs)

    @property
    def request_rows(self) -> int:
        """Rows of a full request."""
        policy = self.queue.policy
        most = min(policy.max_rows, self.queue.metadata.max_batch_size)
        return max(1, min(most, policy.max_bytes // max(1, self.row_bytes)))

    @property
    def window(self) -> int:
        """Requests that may be under way, two at least."""
        return max(2, self.budget // max(1, self.request_rows * self.row_bytes))

    def nbytes(self, work: Sequence[Pieces]) -> int:
        """The bytes that some events hold at most at a time while they are sent."""
        rows = min(sum(pieces.rows for pieces in work), self.window * self.request_rows)
        return max(1, rows * self.row_bytes + sum(pieces.nbytes for pieces in work))

    async def results(self, work: Sequence[Pieces]) -> Sequence[Any]:
        """The outputs of each event: name -> (rows of the event, ...)."""
        answers: list[list[asyncio.Future[Any]]] = [[] for _ in work]
        under_way: dict[asyncio.Future[Any], int] = {}
        window, most = self.window, self.request_rows
        try:
            for place, pieces in enumerate(work):
                for start in range(0, pieces.rows, most):
                    while len(under_way) >= window:
                        await _some(under_way)
                    stop = min(pieces.rows, start + most)
                    inputs = await self._made(pieces, place, start, stop)
                    answer = self.queue.submit(inputs, stop - start, _as_they_are, self.events)
                    under_way[answer] = place
                    answers[place].append(answer)
            while under_way:
                await _some(under_way)
        finally:
            for answer in under_way:
                answer.cancel()
        return [self._joined([answer.result() for answer in of_event]) for of_event in answers]

    async def _made(self, pieces: Pieces, place: int, start: int, stop: int) -> Mapping[str, Array]:
        """The inputs of some rows, made in slices."""
        rows = max(1, SLICE_BYTES // max(1, self.row_bytes))
        if stop - start <= rows:
            inputs = self._slice(pieces, place, start, stop)
            await asyncio.sleep(0)
            return inputs
        specs = self.queue.metadata.inputs
        whole = {spec.name: np.empty((stop - start, *spec.shape), spec.dtype) for spec in specs}
        for first in range(start, stop, rows):
            last = min(stop, first + rows)
            for name, array in self._slice(pieces, place, first, last).items():
                whole[name][first - start : last - start] = array
            await asyncio.sleep(0)
        return whole

    def _slice(self, pieces: Pieces, place: int, start: int, stop: int) -> Mapping[str, Array]:
        """Some rows, as the event makes them. Raises what `make` raises, and ModelContractError, with the event's place."""
        metadata = self.queue.metadata
        try:
            inputs = pieces.make(start, stop)
        except Exception as error:
            error.place = place  # type: ignore[attr-defined]  # read by the engine, for the event's name
            raise
        problem = fault_of(inputs, metadata.inputs, batched=True)
        if not problem and (rows := len(next(iter(inputs.values())))) != stop - start:
            problem = f"rows {start} to {stop} were asked for, and {rows} came"
        if problem:
            raise contract_fault(problem, metadata.name, place)
        return inputs

    def _joined(self, parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        if not parts:
            return {name: array.copy() for name, array in empty_outputs(self.names, self.queue.metadata).items()}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


async def _some(under_way: dict[asyncio.Future[Any], int]) -> None:
    """Wait until one or more requests have ended, and forget them. Raises what one of them raised, with the event's place."""
    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    for answer in done:
        place = under_way.pop(answer)
        if answer.cancelled():
            raise asyncio.CancelledError
        error = answer.exception()
        if error is not None:
            if getattr(error, "place", None) is None:
                error.place = place  # type: ignore[attr-defined]
            raise error


def _as_they_are(outputs: dict[str, Array]) -> dict[str, Array]:
    return outputs


def as_pieces(work: Sequence[Any], model: str, *, plain: bool) -> list[Pieces]:
    """All events of some work in pieces, those that gave arrays too. Raises ModelContractError, with an event's place."""
    if not plain:
        problem = "`Pieces` are for models with a batch dimension and tensors of fixed shapes"
        raise contract_fault(problem, model, 0)
    return [_as_pieces(item, model, place) for place, item in enumerate(work)]


def _as_pieces(item: Any, model: str, place: int) -> Pieces:
    if isinstance(item, Pieces):
        if item.rows < 0:
            raise contract_fault(f"{item.rows} rows", model, place)
        return item
    arrays: Any = item
    if not isinstance(item, Mapping) or not all(
        isinstance(array, np.ndarray) and array.ndim for array in item.values()
    ):
        raise contract_fault(f"`Pieces` or arrays were expected, not {type(item).__name__}", model, place)
    rows = max((len(array) for array in item.values()), default=0)
    return Pieces(rows, lambda start, stop: {name: array[start:stop] for name, array in arrays.items()})
