"""Functions that read conditions: by the signature, by events and by columns, under the name that the process gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import numpy as np
import pytest

from evproc.framework import (
    Condition,
    ConditionsProducer,
    ConfigurationError,
    Interval,
    Module,
    Path,
    Process,
    analyzer,
    filter_by,
    producer,
)
from evproc.framework.columns import Flat
from evproc.framework.conditions import conditions_of
from evproc.framework.testing import EventSource

IDS = [(1 + number // 5, 1, number) for number in range(10)]


class Factors(ConditionsProducer):
    """A factor for each run."""

    def intervals(self) -> Iterable[Interval]:
        """Two for run 1, three for run 2."""
        return [Interval.runs(1, 1, 2.0), Interval.runs(2, 2, 3.0)]

    def load(self, interval: Interval) -> float:
        """The factor."""
        return float(interval.payload)


def scaled(x: float, factor: Condition[float], offset: float = 0.5) -> float:
    """The number times the condition, and a constant."""
    return factor * x + offset


async def scaled_elsewhere(factor: Condition[float], x: float, offset: float = 0.5) -> float:
    """The same as external work."""
    return factor * x + offset


def scaled_columns(x: Flat, factor: Annotated[Condition[float], "of the run"]) -> Any:
    """The same by columns."""
    return x.values * factor + 0.5


def renamed(x: float, jec: Condition[float] = "factor") -> float:  # type: ignore[assignment]
    """The label of the condition is the default."""
    return jec * x + 0.5


def perhaps(x: float, factor: Condition[float] | None) -> float:
    """A condition is always there, whatever the annotation allows."""
    return 0.0 if factor is None else factor * x + 0.5


def process_of(module: Module, seen: list[float]) -> Process:
    process = Process("CONDITIONS")
    process.source = EventSource({"x": np.arange(10.0)}, ids=IDS)
    process.factor = Factors()
    process.made = module
    process.look = analyzer(lambda made: seen.append(float(made)))
    process.path = Path(process.made, process.look)
    return process


@pytest.mark.parametrize(
    "make",
    [
        lambda: producer(scaled),
        lambda: producer(scaled_elsewhere),
        lambda: producer(scaled_columns, produces="float64"),
        lambda: producer(renamed),
        lambda: producer(renamed, jec="factor"),
        lambda: producer(perhaps),
    ],
)
def test_a_function_reads_a_condition(make: Callable[[], Module]) -> None:
    """Each event gets what is valid for its run, however the function is called."""
    seen: list[float] = []
    process = process_of(make(), seen)
    assert conditions_of(process.made) == ["factor"]
    process.run()
    assert sorted(seen) == [x * (2 if x < 5 else 3) + 0.5 for x in range(10)]


def test_a_filter_reads_a_condition() -> None:
    """So does a filter."""
    seen: list[float] = []
    process = process_of(producer(scaled), seen)

    def of_late_runs(factor: Condition[float]) -> bool:
        return factor > 2

    process.cut = filter_by(of_late_runs)
    process.path = Path(process.cut, process.made, process.look)
    process.run()
    assert sorted(seen) == [3.0 * x + 0.5 for x in range(5, 10)]


def test_a_condition_that_is_not_there_is_a_fault() -> None:
    """Before the first event, with what is near."""
    process = process_of(producer(renamed, jec="facto"), [])
    with pytest.raises(ConfigurationError, match=r"'facto'.*factor"):
        process.run()


def test_a_default_that_is_no_label_is_a_fault() -> None:
    """It would be a factor that is never used."""

    def wrong(x: float, factor: Condition[float] = 1.0) -> float:
        return factor * x

    with pytest.raises(ConfigurationError, match=r"the default of 'factor' is the label of a condition, not 1.0"):
        process_of(producer(wrong), []).run()
