"""What open blocks cost: no more of them than answers need, and no events where nobody looks at one."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from evproc.framework import Event, ExternalProducer, Path, Process
from evproc.framework.engine import LOOK
from tests.framework.core_toys import LaterColumns, numbers


class Busy(ExternalProducer):
    """Computes for more than `LOOK` before it hands out work, which is answered at once."""

    consumes = ("x",)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.open = self.most = 0

    def acquire(self, event: Event) -> Any:
        until = perf_counter() + 1.1 * LOOK
        while perf_counter() < until:
            pass
        self.open += 1
        self.most = max(self.most, self.open)
        return self.work(int(event["x"]))

    async def work(self, value: int) -> int:
        return value

    def produce(self, event: Event, result: Any) -> Any:
        self.open -= 1
        return result


def test_what_is_answered_goes_on_before_another_block_is_opened() -> None:
    """The event loop has a turn before each block that is opened beside others, so few are open at once."""
    process = Process("P", block=1)
    process.source, process.work = numbers(40), Busy()
    process.path = Path(process.work)
    process.run()
    assert process.work.open == 0
    assert 1 <= process.work.most <= 6


def test_columnar_work_makes_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event for each entry would cost more than the rest of a job by columns."""
    made: list[int] = []
    monkeypatch.setattr(Event, "__init__", lambda _, __, number: made.append(number))
    process = Process("P")
    process.source, process.work = numbers(30), LaterColumns()
    process.path = Path(process.work)
    made.clear()  # one is made to count references
    process.run()
    assert process.work.acquired == [*range(30)]
    assert len(made) <= 1
