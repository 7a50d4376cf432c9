"""Coalescing: rows of many events, blocks and producers become few requests. Nothing here awaits or reads a clock.

A request costs 100-200 us of client CPU however few rows it carries, so rows are collected until a request is full.
Waiting for more rows is only right as long as more may come soon and the server has something to do. So a request that
is not full leaves

    - when nothing is in flight for the model: the server idles, and anything is better than nothing;
    - when the CPU of the job has nothing left to do: no more rows will come before an answer does;
    - when its oldest row has waited for `max_wait`, which bounds the latency that coalescing adds.

A submission is what one call hands over: consecutive rows of some events. Its rows are sent in order, in as many requests
as it takes; a request takes rows of as many submissions as it holds, as long as their shapes agree (a model may have
inputs of variable extent: rows of another shape begin another request). Which rows travel together depends on timing;
which answer belongs to which row does not.

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

from .tensors import Array


@dataclass(slots=True, eq=False)
class Submission:
    """Rows that were handed over together."""

    inputs: Mapping[str, Array]
    """Name -> (rows, ...)."""
    rows: int
    ticket: Any = None
    """What the caller knows it by."""
    taken: int = 0
    """Rows that have been put into requests."""
    answered: int = 0
    """Rows whose answer has come."""
    failed: bool = False
    parts: list[tuple[int, Mapping[str, Array]]] = field(default_factory=list)
    """(first row, outputs) of the answers that have come."""
    kind: tuple[Any, ...] = field(init=False)
    """Names and shapes of a row; only rows of one kind can share a request."""

    def __post_init__(self) -> None:
        self.kind = tuple((name, array.shape[1:]) for name, array in self.inputs.items())

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of its inputs."""
        return max(1, sum(array.nbytes for array in self.inputs.values()) // self.rows)

    def outputs(self) -> dict[str, Array]:
        """The outputs of all its rows, in order: name -> (rows, ...)."""
        if len(self.parts) == 1:
            return dict(self.parts[0][1])
        ordered = [part for _, part in sorted(self.parts, key=lambda item: item[0])]
        return {name: np.concatenate([part[name] for part in ordered]) for name in ordered[0]}


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

    def inputs(self) -> dict[str, Array]:
        """The tensors to send: name -> (rows, ...). No copy if they come from one submission."""
        first = self.parts[0]
        if len(self.parts) == 1:
            return {name: array[first.start : first.stop] for name, array in first.submission.inputs.items()}
        return {
            name: np.concatenate([part.submission.inputs[name][part.start : part.stop] for part in self.parts])
            for name in first.submission.inputs
        }


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
        self._waiting: deque[Submission] = deque()

    def add(self, submission: Submission) -> None:
        """Take in a submission of one row or more."""
        if submission.rows < 1:
            raise ValueError("a submission without rows has nothing to send")
        self._waiting.append(submission)
        self.waiting_rows += submission.rows

    @property
    def room(self) -> int:
        """Rows of a full request of the oldest rows' kind."""
        row_bytes = self._waiting[0].row_bytes if self._waiting else 1
        return max(1, min(self.max_rows, self.max_bytes // row_bytes))

    def next_request(self, *, partial: bool) -> Request | None:
        """The next request to send: a full one, or with `partial` whatever there is. None if there is none."""
        waiting = self._waiting
        while waiting and waiting[0].failed:
            self.waiting_rows -= waiting[0].rows - waiting[0].taken
            waiting.popleft()
        if not waiting:
            return None
        room = self.room
        if not self.coalesce:
            room = min(room, waiting[0].rows - waiting[0].taken)
        elif self.waiting_rows < room and not partial:
            return None
        parts: list[Part] = []
        rows = 0
        kind = waiting[0].kind
        while waiting and rows < room and waiting[0].kind == kind:
            submission = waiting[0]
            count = 0 if submission.failed else min(room - rows, submission.rows - submission.taken)
            if count:
                parts.append(Part(submission, submission.taken, submission.taken + count))
                submission.taken += count
                rows += count
            if submission.failed:
                self.waiting_rows -= submission.rows - submission.taken
            if submission.failed or submission.taken == submission.rows:
                waiting.popleft()
        self.waiting_rows -= rows
        return Request(parts, rows) if parts else None

    def drain(self) -> list[Submission]:
        """Give up the submissions of which rows still wait; returns them."""
        waiting = list(self._waiting)
        self._waiting.clear()
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
