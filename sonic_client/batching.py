"""Coalescing: rows of many events, blocks and producers become few requests. Nothing here awaits or reads a clock.

A request costs 100-200 us of client CPU however few rows it carries, so rows are collected until a request is full.
Waiting for more rows is only right as long as more may come soon and the server has something to do. So a request that
is not full leaves

    - when nothing is in flight for the model: the server idles, and anything is better than nothing;
    - when the CPU of the job has nothing left to do: no more rows will come before an answer does;
    - when its oldest row has waited for `max_wait`, which bounds the latency that coalescing adds.

A submission is what one call hands over: consecutive rows of some events. Its rows are sent in order, in as many requests
as it takes; a request takes rows of as many submissions as it holds, as long as their shapes agree. A model may have
inputs of variable extent; then rows wait in a line for each kind, which is a set of names and shapes, so that rows of one
kind find each other however kinds alternate. No row is ever padded. Which rows travel together depends on timing; which
answer belongs to which row does not.

A model without a batch dimension takes one row a request, and such a row has all the extents of its tensors: it goes out,
and its answer comes back, as it is.

Invariants: every row of a submission is in exactly one request; a submission is complete when all its rows are answered, and
fails with the first of its requests that fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from evproc.framework.errors import ModelContractError
from evproc.framework.event import EventID

from .tensors import Array, Rows, Tensor, wire_size

FEW = 16
"""Submissions of a request whose rows are put together as they are sent; those of more are small, and joined before."""


@dataclass(slots=True, eq=False)
class Submission:
    """Rows that were handed over together."""

    inputs: Mapping[str, Array]
    """Name -> (rows, ...)."""
    rows: int
    ticket: Any = None
    """What the caller knows it by."""
    events: tuple[EventID, EventID] | None = None
    """The first and the last event whose rows these are, if that is known."""
    born: float = 0.0
    """When it was handed over, in the loop's time, s."""
    taken: int = 0
    """Rows that have been put into requests."""
    answered: int = 0
    """Rows whose answer has come."""
    failed: bool = False
    parts: list[tuple[int, Mapping[str, Array]]] = field(default_factory=list)
    """(first row, outputs) of the answers that have come."""
    kind: tuple[Any, ...] = field(init=False)
    """Names and shapes of a row; only rows of one kind can share a request."""
    row_bytes: int = field(init=False)
    """Bytes of one row of its inputs, on average."""

    def __post_init__(self) -> None:
        self.kind = tuple((name, array.shape[1:]) for name, array in self.inputs.items())
        self.row_bytes = max(1, sum(map(wire_size, self.inputs.values())) // max(1, self.rows))

    def outputs(self) -> dict[str, Array]:
        """The outputs of all its rows, in order: name -> (rows, ...).

        Raises ModelContractError if an output of variable extent came with another extent from each of several requests.
        """
        if len(self.parts) == 1:
            return dict(self.parts[0][1])
        ordered = [part for _, part in sorted(self.parts, key=lambda item: item[0])]
        return {name: _joined(name, [part[name] for part in ordered]) for name in ordered[0]}


def _joined(name: str, arrays: Sequence[Array]) -> Array:
    shapes = list(dict.fromkeys(array.shape[1:] for array in arrays))
    if len(shapes) > 1:
        raise ModelContractError(
            f"output '{name}' came with rows of shape {shapes[0]} and of {shapes[1]} for inputs of one shape: it depends on "
            "what else is in a request, so that the rows of an event must not be sent apart or with others "
            "(client.coalesce=False, and a larger client.max_rows)"
        )
    return np.concatenate(arrays)


class Part(NamedTuple):
    """Rows `start` to `stop` of a submission."""

    submission: Submission
    start: int
    stop: int


@dataclass(slots=True, eq=False)
class Request:
    """Rows that travel together."""

    parts: list[Part]
    rows: int
    sent: float = 0.0
    """When its first attempt began, s."""

    @property
    def since(self) -> float:
        """When its oldest row was handed over, s."""
        return self.parts[0].submission.born

    @property
    def events(self) -> str:
        """The first and the last event whose rows these are, as `1:7:100-1:7:900`; empty if that is not known."""
        known = [part.submission.events for part in self.parts if part.submission.events is not None]
        if not known:
            return ""
        first, last = min(first for first, _ in known), max(last for _, last in known)
        return f"{':'.join(map(str, first))}-{':'.join(map(str, last))}"

    def inputs(self) -> dict[str, Tensor]:
        """The tensors to send: name -> (rows, ...). No copy if they come from few submissions."""
        first = self.parts[0]
        if len(self.parts) == 1:
            if first.stop - first.start == first.submission.rows:
                return dict(first.submission.inputs)
            return {name: array[first.start : first.stop] for name, array in first.submission.inputs.items()}
        tensors = {
            name: Rows([part.submission.inputs[name][part.start : part.stop] for part in self.parts])
            for name in first.submission.inputs
        }
        if len(self.parts) <= FEW:
            return dict(tensors)
        return {name: rows.joined() for name, rows in tensors.items()}


@dataclass(slots=True, eq=False)
class _Line:
    """The submissions of one kind that wait."""

    waiting: deque[Submission] = field(default_factory=deque)
    rows: int = 0


class Batcher:
    """Collects submissions for one model, and says which requests to send.

    `max_rows` and `max_bytes` (of inputs) bound a request; it carries one row at least. With `coalesce` off, a request never
    holds rows of two submissions.
    """

    def __init__(self, *, max_rows: int, max_bytes: int, coalesce: bool = True) -> None:
        if max_rows < 1:
            raise ValueError(f"a request carries one row at least, not {max_rows}")
        self.max_rows = max_rows
        self.max_bytes = max_bytes
        self.coalesce = coalesce
        self.waiting_rows = 0
        #: kind -> its line, none of them empty; the one that was served last is last
        self._lines: dict[tuple[Any, ...], _Line] = {}
        #: the kinds of which a full request waits
        self._full: dict[tuple[Any, ...], _Line] = {}

    def add(self, submission: Submission) -> None:
        """Take in a submission of one row or more."""
        if submission.rows < 1:
            raise ValueError("a submission without rows has nothing to send")
        kind = submission.kind
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = _Line()
        line.waiting.append(submission)
        line.rows += submission.rows
        self.waiting_rows += submission.rows
        if self._is_full(line):
            self._full[kind] = line

    def _is_full(self, line: _Line) -> bool:
        return not self.coalesce or line.rows >= self._room(line)

    def _room(self, line: _Line) -> int:
        """Rows of a full request, counted in the oldest rows' size."""
        return max(1, min(self.max_rows, self.max_bytes // line.waiting[0].row_bytes))

    def next_request(self, *, partial: bool) -> Request | None:
        """The next request to send: a full one, or with `partial` whatever there is. None if there is none."""
        while lines := self._full or (self._lines if partial else None):
            kind, line = next(iter(lines.items()))
            parts = self._take(line, partial=partial)
            del self._lines[kind]
            self._full.pop(kind, None)
            if line.waiting:
                self._lines[kind] = line
                if self._is_full(line):
                    self._full[kind] = line
            if parts:
                return Request(parts, sum(part.stop - part.start for part in parts))
        return None

    def _take(self, line: _Line, *, partial: bool) -> list[Part]:
        """Rows for one request, off a line; none if there are not enough for a full one."""
        waiting = line.waiting
        while waiting and waiting[0].failed:
            self._leave(line, waiting[0].rows - waiting[0].taken)
            waiting.popleft()
        if not waiting or not (partial or self._is_full(line)):
            return []
        parts: list[Part] = []
        rows, space = self.max_rows, self.max_bytes
        while waiting and rows > 0:
            submission = waiting[0]
            left = submission.rows - submission.taken
            count = 0 if submission.failed else min(rows, left, max(space // submission.row_bytes, 0 if parts else 1))
            if count:
                parts.append(Part(submission, submission.taken, submission.taken + count))
                submission.taken += count
                rows -= count
                space -= count * submission.row_bytes
                self._leave(line, count)
            if submission.failed:
                self._leave(line, left)
            elif submission.taken < submission.rows:
                break
            waiting.popleft()
            if not self.coalesce:
                break
        return parts

    def _leave(self, line: _Line, rows: int) -> None:
        line.rows -= rows
        self.waiting_rows -= rows

    def drain(self) -> list[Submission]:
        """Give up the submissions of which rows still wait; returns them."""
        waiting = [submission for line in self._lines.values() for submission in line.waiting]
        self._lines.clear()
        self._full.clear()
        self.waiting_rows = 0
        return waiting

    @staticmethod
    def answer(request: Request, outputs: Mapping[str, Array]) -> list[Submission]:
        """Give the answer of a request to its submissions; returns those that are complete now.

        outputs: name -> (rows of the request, ...)
        """
        complete = []
        position = 0
        for submission, start, stop in request.parts:
            count = stop - start
            whole = count == request.rows
            mine = outputs if whole else {name: array[position : position + count] for name, array in outputs.items()}
            position += count
            submission.parts.append((start, mine))
            submission.answered += count
            if submission.answered == submission.rows and not submission.failed:
                complete.append(submission)
        return complete

    @staticmethod
    def fail(request: Request) -> list[Submission]:
        """A request has failed for good; returns the submissions that fail with it, those only that had not failed before."""
        newly = [part.submission for part in request.parts if not part.submission.failed]
        for submission in newly:
            submission.failed = True
        return newly


def row_bounds(counts: Sequence[int]) -> list[int]:
    """Where the rows of each event begin and end: [0, counts[0], counts[0] + counts[1], ...]."""
    return list(accumulate(counts, initial=0))
