"""Results of paths: as products, by per-event and columnar modules and outputs, and where modules have failed."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Analyzer,
    Columns,
    EndPath,
    FinalPath,
    Input,
    InputTag,
    Path,
    Process,
    Task,
)
from evproc.framework.schedule import Phase
from evproc.framework.selection import PathState
from evproc.framework.testing import EventSource
from evproc.modules import NtupleOutput
from tests.framework.core_toys import (
    Add,
    Divisible,
    DivisibleColumns,
    Look,
    Write,
    faults_of,
    numbers,
    schedule_of,
)
from tests.root_files import open_root

EVENTS = 30
BLOCKS = pytest.mark.parametrize("block", [1, 7, 1000])


class LookColumns(Analyzer):
    """Keeps a collection of booleans, by columns."""

    class Config(Analyzer.Config):
        of: InputTag = Input("TriggerResults")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.rows: list[dict[str, bool]] = []

    def analyze_columns(self, columns: Columns) -> None:
        self.rows.extend(columns[self.config.of].to_list())


class LookAll(Analyzer):
    """Keeps a collection of booleans, event by event."""

    class Config(Analyzer.Config):
        of: InputTag = Input("TriggerResults", fields=["even", "third"])

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.rows: list[dict[str, bool]] = []

    def analyze(self, event: Any) -> None:
        results = event[self.config.of]
        self.rows.append({"even": bool(results.even), "third": bool(results["third"])})


def process_of(**options: Any) -> Process:
    """even: [2?]     third: [3?]"""
    process = Process("P", **options)
    process.source = numbers(EVENTS, chunk=11)
    process.two, process.three = Divisible(by=2), DivisibleColumns(by=3)
    process.even, process.third = Path(process.two), Path(process.three)
    return process


@BLOCKS
@pytest.mark.parametrize("kind", [LookColumns, LookAll])
def test_results_are_read_by_event_and_by_columns(kind: type, block: int) -> None:
    """end: look <- TriggerResults     whether each path passes, for all events, in the order of the input."""
    process = process_of(block=block)
    process.look = kind()
    process.end = EndPath(process.look)
    report = process.run()
    assert process.look.rows == [{"even": n % 2 == 0, "third": n % 3 == 0} for n in range(EVENTS)]
    assert report.module("TriggerResults").calls == EVENTS


@BLOCKS
def test_a_result_is_read_by_modules_that_run_on_demand_and_by_filters(block: int) -> None:
    """end: [TriggerResults_even?] -> look <- (p) <- PathStatus_third     filters of end paths ask for results of paths."""
    process = process_of(block=block)
    process.asks = Divisible(of="TriggerResults_even", by=2)  # false, that is 0, passes
    process.p = Add(of=["PathStatus_third"])
    process.look = Look(of=["p"])
    process.end = EndPath(process.asks, process.look)
    process.run()
    state = {True: int(PathState.PASS), False: int(PathState.FAIL)}
    assert process.look.rows == [(n, state[n % 3 == 0]) for n in range(EVENTS) if n % 2]
    assert process.p.seen == process.look.events


@BLOCKS
def test_a_path_may_ask_for_the_result_of_another(block: int) -> None:
    """both: [TriggerResults_even?] -> a     end: look <- TriggerResults     a path waits for the other, not for itself."""
    process = process_of(block=block)
    process.asks, process.a = Divisible(of="TriggerResults_even", by=2), Add()
    process.odd = Path(process.asks, process.a)
    process.look = Look(of=["TriggerResults_odd", "TriggerResults_even"])
    process.end = EndPath(process.look)
    process.run()
    assert process.a.seen == list(range(1, EVENTS, 2))
    assert process.look.rows == [(n, n % 2 == 1, n % 2 == 0) for n in range(EVENTS)]


def test_results_that_nobody_reads_have_no_step() -> None:
    """end: look     results cost nothing unless they are read, and then only those that are."""
    process = process_of()
    process.look = Look()
    process.end = EndPath(process.look)
    assert [step.node.label for step in schedule_of(process).steps if step.node.phase is Phase.RESULT] == []
    process.look.set(of=["TriggerResults_third"])
    schedule = schedule_of(process)
    assert [step.node.label for step in schedule.steps if step.node.phase is Phase.RESULT] == ["TriggerResults_third"]


def test_a_path_that_waits_for_its_own_result_is_a_contradiction() -> None:
    """even: [2?] -> a <- TriggerResults_even     and the same by way of another path, or of a product."""
    process = process_of()
    process.a = Add(of=["TriggerResults_even"])
    process.even = Path(process.two, process.a)
    (fault,) = faults_of(process)
    assert fault.startswith("a: reads 'TriggerResults_even', the result of a path on which it is")
    process.b = Add(of=["a"])
    process.even, process.other = Path(process.two, process.b), Path(process.three)
    (fault,) = faults_of(process)
    assert fault.endswith("a path waits for its own result")


def test_an_analyzer_on_a_path_delays_its_result() -> None:
    """seen: [2?] -> look     end: out <- TriggerResults_seen     what runs before the tail cannot know the result."""
    process = process_of(block=7)
    process.look, process.out = Look(), Write(of=["TriggerResults_seen"])
    process.seen, process.end = Path(process.two, process.look), EndPath(process.out)
    process.run()
    assert process.out.rows == [(n, n % 2 == 0) for n in range(EVENTS)]
    process = process.clone()
    process.a = Add(of=["TriggerResults_seen"])
    process.end = EndPath(process.a, process.out)
    (fault,) = faults_of(process)
    assert fault.startswith(
        "a: reads 'TriggerResults_seen', but path 'seen' holds 'look', which runs after all producers and filters; move"
    )


@BLOCKS
@pytest.mark.parametrize("path", [EndPath, FinalPath])
def test_outputs_keep_results_by_patterns(path: type, block: int, tmp_path: FilePath) -> None:
    """`*` keeps a bool branch for each path; states are kept where a pattern names them; `drop` leaves out."""

    process = process_of(block=block)
    files = {name: tmp_path / f"{name}.root" for name in ("all", "named", "without")}
    process.all = NtupleOutput(file=str(files["all"]))
    process.named = NtupleOutput(file=str(files["named"]), keep=["PathStatus_*", "TriggerResults_even"])
    process.without = NtupleOutput(file=str(files["without"]), keep=["*", "drop TriggerResults_*"], select=["!even"])
    process.end = path(process.all, process.named, process.without)
    process.run()
    n = np.arange(EVENTS)
    with open_root(files["all"]) as file:
        assert set(file["Events"].keys()) == {
            *("run", "luminosityBlock", "event", "x", "y", "ny", "TriggerResults_even", "TriggerResults_third")
        }
        assert file["Events"]["TriggerResults_third"].array(library="np").dtype == np.bool_
        assert file["Events"]["TriggerResults_third"].array(library="np").tolist() == (n % 3 == 0).tolist()
    with open_root(files["named"]) as file:
        assert file["Events"]["PathStatus_even"].array(library="np").tolist() == (1 + n % 2).tolist()
        assert "PathStatus_third" in file["Events"].keys()  # noqa: SIM118 - a tree is no dict
        assert file["Events"]["TriggerResults_even"].array(library="np").tolist() == (n % 2 == 0).tolist()
    with open_root(files["without"]) as file:
        assert file["Events"]["event"].array(library="np").tolist() == list(range(1, EVENTS, 2))
        assert not [name for name in file["Events"].keys() if "_" in name]  # noqa: SIM118 - a tree is no dict


def test_results_of_an_earlier_process_are_hidden() -> None:
    """source: TriggerResults_even     the result of this process has the name; a warning says so if it is read."""
    process = process_of()
    process.source = EventSource({"x": np.arange(4), "TriggerResults_even": np.zeros(4, bool)})
    process.look = Look(of=["TriggerResults_even"])
    process.end = EndPath(process.look)
    report = process.run()
    assert [row[1] for row in process.look.rows] == [True, False, True, False]
    assert report.warnings == ["'TriggerResults_even' of the input is hidden by the result of path 'even'"]


def test_a_module_cannot_take_the_name_of_a_result() -> None:
    """TriggerResults_even: a     the names of results are taken."""
    process = process_of()
    process.TriggerResults_even, process.PathStatus = Add(), Add()
    assert [fault.partition(";")[0] for fault in faults_of(process)] == [
        "TriggerResults_even: its product 'TriggerResults_even' has the name of the result of a path",
        "PathStatus: its product 'PathStatus' has the name of a collection",
    ]


SELECT = {
    "even": lambda n: n % 2 == 0,
    "!even": lambda n: n % 2,
    "*": lambda n: n % 2 == 0 or n % 3 == 0,
    "!*": lambda n: n % 2 and n % 3,
    "e*&noexception": lambda n: n % 2 == 0,
    "exception@*": lambda n: False,
}


@BLOCKS
@pytest.mark.parametrize("entry", SELECT)
def test_outputs_select_by_results(entry: str, block: int) -> None:
    """end: [x > 9?] -> out     an output writes the events that come to it, and that `select` accepts."""
    process = process_of(block=block)
    process.late = Divisible(of="TriggerResults_even", by=1)
    process.five = Divisible(by=5)
    process.out, process.behind = Write(select=[entry]), Write(select=[entry, "third"])
    process.end = EndPath(process.out, ~process.five, process.behind)
    process.run()
    rule = SELECT[entry]
    assert process.out.events == [n for n in range(EVENTS) if rule(n)]
    assert process.behind.events == [n for n in range(EVENTS) if (rule(n) or n % 3 == 0) and n % 5]


def test_a_product_of_a_task_is_made_for_selected_events_only() -> None:
    """task: p     end: out <- (p), select !even     p runs for the events that are written."""
    process = process_of(block=7)
    process.p, process.out = Add(), Write(of=["p"], select=["!even"])
    process.task, process.end = Task(process.p), EndPath(process.out)
    process.run()
    assert process.p.seen == process.out.events == list(range(1, EVENTS, 2))
