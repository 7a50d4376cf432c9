"""Clones, deep overrides, origins, and what may be changed when."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path as FilePath
from typing import Any

import pytest

from evproc.framework import Block, ConfigurationError, Event, Parameter, Path, Process, Producer, Task
from evproc.framework.documents import format_document
from evproc.framework.loading import dump, load, results_hash
from tests.framework.core_toys import Add, Call, Divisible, Look, numbers


class Inner(Block):
    """A block in a block."""

    a: int = Parameter(1, description="one")
    b: int = Parameter(2, description="two", gt=0)


class Outer(Block):
    """A block."""

    inner: Inner = Inner(a=10)
    c: int = Parameter(3, description="three")


class Deep(Producer):
    """A module with blocks, an optional block, a list of them and a table."""

    class Config(Producer.Config):
        outer: Outer = Outer(c=30)
        maybe: Inner | None = None
        table: dict[str, int] = Parameter(default_factory=dict, description="any")
        several: list[Inner] = Parameter(default_factory=list, description="blocks")

    def produce(self, event: Event) -> int:
        return int(self.config.outer.c)


def test_a_clone_has_the_parameters_and_no_label() -> None:
    """A clone is of the same kind with the same parameters, may be put under another label, and shares nothing."""
    process = Process("P")
    process.add = Add(of=["x"], plus=3)
    process.other = process.add.clone(plus=4)
    assert (process.add.config.plus, process.other.config.plus) == (3, 4)
    assert (process.add.label, process.other.label) == ("add", "other")
    process.other.set(of=["y"])
    assert process.add.config.of == ["x"]
    given = ["x"]
    first = Add(of=given)
    second = first.clone()
    given.append("y")
    second.set(plus=1)
    assert second.config.of == ["x"]


@pytest.mark.parametrize(
    "changes",
    [{"outer": {"inner": {"b": 7}}}, {"outer.inner.b": 7}, {"outer.inner": {"b": 7}}, {"outer": {"inner.b": 7}}],
)
def test_a_deep_override_changes_only_what_it_names(changes: dict[str, Any]) -> None:
    """Dicts and dotted keys reach into blocks at any depth and leave the rest as it was, defaults of the module included."""
    clone = Deep(outer=Outer(c=5, inner=Inner(a=6))).clone(**changes)
    assert clone.config.outer == Outer(c=5, inner=Inner(a=6, b=7))
    assert Deep().clone(**changes).config.outer == Outer(c=30, inner=Inner(a=10, b=7))


def test_a_block_replaces_all_and_a_table_is_no_block() -> None:
    """Only a dict for a block is merged: a block, a table, a list and an optional block that was none are taken whole."""
    module = Deep(outer=Outer(c=5), table={"one": 1}, several=[Inner()])
    clone = module.clone(outer=Outer(inner=Inner(b=9)), table={"two": 2}, several=[{"a": 4}], maybe={"a": 8})
    assert clone.config.outer == Outer(inner=Inner(b=9))
    assert clone.config.outer.c == 3
    assert clone.config.table == {"two": 2}
    assert clone.config.several == [Inner(a=4)]
    assert clone.config.maybe == Inner(a=8)
    assert clone.clone(**{"maybe.b": 5}).config.maybe == Inner(a=8, b=5)


def test_a_clone_of_a_module_with_arguments_of_its_own_has_them() -> None:
    """What else a constructor takes is given to the clone's too."""

    def function(event: Event) -> int:
        return 5

    assert Call(function, of=["y"]).clone().function is function
    assert numbers(7).clone().size == 7


def test_a_wrong_override_is_a_fault_of_the_clone_at_its_line() -> None:
    """An unknown key or a wrong value does not raise; it is reported with the line of the clone and the nearest name."""
    module = Deep()
    clone = module.clone(outer={"iner": {"b": 1}, "inner": {"b": 0}})
    assert module.faults() == []
    texts = sorted(str(fault) for fault in clone.faults())
    assert re.fullmatch(
        r"outer.iner: unknown parameter 'iner'; did you mean 'inner'\? \(Deep\)  \[test_configuring.py:\d+\]", texts[0]
    )
    assert re.fullmatch(
        r"outer.inner.b: input should be greater than 0, not 0 \(Deep\)  \[test_configuring.py:\d+\]", texts[1]
    )
    assert clone.faults()[0].where != Deep(wrong=1).faults()[0].where


def test_each_parameter_knows_where_it_was_set() -> None:
    """The last line that set a parameter, or the block that holds it, is its origin; a default has none."""
    module = Deep(outer=Outer(c=5))
    made = module.origin_of("outer.c")
    module.set(**{"outer.inner.a": 7})
    changed = module.origin_of("outer.inner.a")
    assert made == module.origin_of("outer.inner.b") == module.where
    assert re.fullmatch(r"test_configuring.py:\d+", changed)
    assert changed != made
    assert module.origin_of("table") == ""
    module.set(outer=Outer())
    assert module.origin_of("outer.inner.a") == module.origin_of("outer") != changed


def small_process(**options: Any) -> Process:
    process = Process("P", **options)
    process.source, process.add, process.even = numbers(10), Add(plus=1), Divisible()
    process.look = Look(of=["add"])
    process.select = Path(process.even, process.add, process.look)
    return process


def test_a_process_that_has_run_is_frozen_and_runs_again() -> None:
    """After a job no part or parameter can be changed, because its outputs name them; it can be run again as it is."""
    process = small_process()
    process.run()
    for change in (
        lambda: process.add.set(plus=2),
        lambda: process.override("add.plus", 2),
        lambda: setattr(process, "more", Add()),
        lambda: setattr(process, "add", Add()),
        lambda: delattr(process, "add"),
        lambda: process.customise(lambda process: None),
        lambda: process.load(Process("Q")),
    ):
        with pytest.raises(ConfigurationError, match=r"process 'P' has run; a clone can be changed: process.clone\(\)"):
            change()
    process.look.rows.clear()
    process.set_options(block=3)
    process.run()
    assert process.look.rows == [(number, number + 1) for number in range(0, 10, 2)]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_nothing_can_be_changed_while_the_job_runs(block: int) -> None:
    """A module that changes its process in the middle fails with a message that names the label; options too."""
    process = small_process(block=block)

    def meddle(event: Event) -> int:
        for change in (lambda: process.add.set(plus=9), lambda: process.set_options(block=2)):
            with pytest.raises(ConfigurationError, match=r"process 'P' runs; change it before"):
                change()
        process.even.set(by=5)
        return 0

    process.meddle = Call(meddle)
    process.other = Path(process.meddle)
    with pytest.raises(ConfigurationError, match=r"even: cannot be changed: process 'P' runs"):
        process.run()
    process.even.set(by=3)
    assert process.even.config.by == 3


def test_a_process_with_faults_can_be_mended() -> None:
    """What never ran is not frozen."""
    process = small_process()
    process.add.set(plus="much")
    with pytest.raises(ConfigurationError):
        process.run()
    process.add.set(plus=2)
    process.run()
    assert process.look.rows[0] == (0, 2)


def test_a_clone_of_a_process_is_its_own() -> None:
    """A clone has all parts under their labels, its paths name its own modules, and changing it leaves the other alone."""
    process = small_process(block=4)
    process.extra = Task(process.add)
    process.run()
    clone = process.clone()
    clone.add.set(plus=100)
    clone.run()
    assert clone.look.rows == [(number, number + 100) for number in range(0, 10, 2)]
    assert process.look.rows == [(number, number + 1) for number in range(0, 10, 2)]
    assert clone.options.block == 4
    assert clone._parts().keys() == process._parts().keys()
    assert all(clone._parts()[label] is not part for label, part in process._parts().items())


def test_a_process_can_be_pickled() -> None:
    """Parts and paths go to another process of the machine with their labels; nobody has run them there."""
    process = small_process()
    process.run()
    again = pickle.loads(pickle.dumps(process))
    assert again.add.config.plus == 1
    assert again.select.labels() == ["even", "add", "look"]
    assert results_hash(again) == results_hash(process)


STUDY = FilePath(__file__).parent.parent.parent / "docs" / "examples" / "study.py"


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("full", [True, False])
def test_all_of_the_language_together_survives_a_dump(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch, form: str, full: bool
) -> None:
    """Arguments, a fragment, a modifier, a function, a switch and an alias: a dump loads with the same hash and dump."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    process = load(STUDY, ["--jets", "3"], ["tight"])
    process.customise(f"{STUDY.parent / 'quick.py'}:quick")
    process.override("total.case", "vector")
    process.override("total.scalar.pt", "Muon_pt")
    data = dump(process, full=full, directory=tmp_path)
    assert (data["arguments"], data["modifiers"]) == (["--jets", "3"], ["tight"])
    assert data["modules"]["busy"]["above"] == 120.0
    assert data["modules"]["two_jets"]["at_least"] == 3
    assert data["modules"]["source"]["max_events"] == 50
    expected = results_hash(process)
    assert results_hash(load(STUDY)) != expected
    path = tmp_path / f"study.{form}"
    path.write_text(format_document(data, form))
    again = load(path)
    assert results_hash(again) == results_hash(again.clone()) == expected
    assert dump(again, full=full, directory=tmp_path) == data
