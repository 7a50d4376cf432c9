"""The exception policy: which rule decides, and what ignoring, calling anyway and giving up in part mean."""

from __future__ import annotations

import asyncio
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Analyzer,
    Columns,
    EndPath,
    Event,
    ExceptionPolicy,
    ExceptionRules,
    ModuleError,
    Path,
    Process,
    Producer,
    ProductNotFound,
)
from evproc.framework.errors import DeadlineExceeded, InferenceError, InputError, InternalError
from evproc.framework.exception_policy import Action, Rules, categories
from evproc.framework.service import Service
from evproc.modules import HistogramAnalyzer
from evproc.modules.histogram import Histogram
from tests.framework.core_toys import Add, AddColumns, Call, Look, Write, numbers
from tests.framework.failing_toys import (
    FailsAnalyzer,
    FailsColumns,
    FailsEvent,
    FailsFilter,
    FailsProduce,
    Special,
)

BLOCKS = (1, 7, 1000)
EVENTS = 40


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(block: int = 1000, **rules: Any) -> Process:
    process = Process("POLICY", block=block)
    process.source = numbers(EVENTS, chunk=17)
    process.policy = ExceptionPolicy(**rules)
    return process


def test_the_rule_nearest_to_the_class_decides() -> None:
    """Of the categories that fit, the one nearest to the error's class decides; those of the module go first."""
    rules = Rules(
        {"Exception": Action.IGNORE, "ArithmeticError": Action.TRY_TO_CONTINUE, "InferenceError": Action.RETHROW},
        {"tagger": {"ModuleError": Action.TRY_TO_CONTINUE, "Special": Action.RETHROW}},
    )
    assert rules.action("a", ZeroDivisionError()) is Action.TRY_TO_CONTINUE
    assert rules.action("a", ValueError()) is Action.IGNORE
    assert rules.action("a", DeadlineExceeded()) is Action.RETHROW
    assert rules.action("tagger", Special()) is Action.RETHROW
    assert rules.action("tagger", ValueError()) is Action.TRY_TO_CONTINUE
    assert rules.action("tagger", InputError()) is Action.IGNORE
    assert rules.action("a", InternalError()) is Action.RETHROW
    assert rules.action("a", asyncio.CancelledError()) is Action.RETHROW
    assert categories(Special()) == ["Special", "ArithmeticError", "ModuleError", "EvprocError", "Exception"]
    assert categories(DeadlineExceeded()) == ["DeadlineExceeded", "InferenceError", "EvprocError", "Exception"]
    assert (rules.tolerant("a"), Rules({}, {"b": {"KeyError": Action.RETHROW}}).tolerant("b")) == (True, False)


@pytest.mark.parametrize("block", BLOCKS)
def test_rules_of_a_module_are_for_it_alone(block: int) -> None:
    """An error that one module may have ends the job in another."""
    for other, ends in ((FailsEvent(on=[5]), True), (FailsEvent(), False)):
        process = job(block, modules={"one": ExceptionRules(try_to_continue=["ValueError"])})
        process.one = FailsEvent(on=[3])
        process.other = other
        process.look = Look(of=["other"])
        process.end = EndPath(process.one, process.look)
        if ends:
            with pytest.raises(ModuleError, match=r"module 'other' .* event 5"):
                process.run()
        else:
            assert process.run().failed_events == 1
            assert process.look.events == [*range(EVENTS)]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_ignored_is_just_not_there(block: int) -> None:
    """A module behind an ignored failure is called, and reading the product is a ProductNotFound; it may know what to do."""

    def plus_one(event: Event) -> int:
        try:
            return int(event["bad"]) + 1
        except ProductNotFound:
            return -1

    process = job(block, ignore=["ValueError"])
    process.bad = FailsEvent(on=[4, 17])
    process.behind = Call(plus_one, of=["bad"])
    process.look = Look(of=["behind"])
    process.end = EndPath(process.look)
    report = process.run()
    assert process.look.rows == [(n, -1 if n in (4, 17) else n + 1) for n in range(EVENTS)]
    assert (report.failed_events, report.module("bad").ignored, report.module("bad").failed) == (0, 2, 0)
    assert [(one.action, one.events) for one in report.failures] == [("ignore", 2)]
    assert not FilePath("failed_events.jsonl").exists()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", [Add, AddColumns, Write])
def test_reading_what_was_ignored_is_judged_in_its_turn(kind: type[Any], block: int) -> None:
    """A ProductNotFound behind an ignored failure ends the job, unless it may be continued after; by columns, too."""
    for rules in ({}, {"try_to_continue": ["ProductNotFound"]}):
        process = job(block, ignore=["ValueError"], **rules)
        process.bad = FailsEvent(on=[4, 17])
        process.behind = kind(of=["bad"])
        process.look = Look(of=["behind"]) if kind is not Write else Look()
        process.end = EndPath(process.behind, process.look)
        if not rules:
            with pytest.raises(ProductNotFound, match=r"module 'behind' .* event 4.*'bad'"):
                process.run()
            continue
        report = process.run()
        assert (process.behind if kind is Write else process.look).events == [
            n for n in range(EVENTS) if n not in (4, 17)
        ]
        assert (report.failed_events, report.module("behind").failed) == (2, 2)


@pytest.mark.parametrize("block", BLOCKS)
def test_modules_may_be_called_anyway(block: int) -> None:
    """A marked module runs for events whose inputs have failed; errors of it to be continued after are passed over."""
    process = job(block, try_to_continue=["Exception"], call_anyway=["care", "careless"])
    process.bad = FailsEvent(on=[4, 17])
    process.other = Add()
    seen: list[tuple[int, bool]] = []

    def care(event: Event) -> int:
        try:
            value = int(event["bad"])
        except ProductNotFound:
            value = -1
        seen.append((event.id.event, value >= 0))
        return value

    process.care = Call(care, of=["bad", "other"])
    process.careless = Add(of=["bad"])
    process.look = Look(of=["care"])
    process.look_careless = Look(of=["other"])
    process.end = EndPath(process.care, process.careless, process.look, process.look_careless)
    report = process.run()
    assert seen == [(n, n not in (4, 17)) for n in range(EVENTS)]
    assert process.look.events == [*range(EVENTS)]
    assert report.failed_events == 2
    assert (report.module("careless").ignored, report.module("careless").failed) == (2, 0)
    assert [(one.module, one.error, one.action) for one in report.failures] == [
        ("bad", "ValueError", "try_to_continue"),
        ("careless", "ProductNotFound", "ignore"),
    ]


class CountsTwice(Analyzer):
    """Counts, then raises: calling it again would count twice."""

    consumes = ("x",)

    def analyze_columns(self, columns: Columns) -> None:
        if (np.asarray(columns["x"]) == 9).any():
            raise ValueError("oops")


@pytest.mark.parametrize("block", BLOCKS)
def test_a_columnar_analyzer_that_may_have_counted_ends_the_job(block: int) -> None:
    """The error of a columnar analyzer ends the job, for calling it again could count events twice."""
    process = job(block, try_to_continue=["Exception"])
    process.counts = CountsTwice()
    process.end = EndPath(process.counts)
    with pytest.raises(ModuleError, match="module 'counts'"):
        process.run()
    process = job(block, try_to_continue=["Exception"])
    process.counts = type("AllOrNothing", (CountsTwice,), {"all_or_nothing": True})()
    process.end = EndPath(process.counts)
    assert process.run().module("counts").failed == 1


@pytest.mark.parametrize("block", BLOCKS)
def test_histograms_are_filled_whole_or_not_at_all(block: int) -> None:
    """An event whose weights do not fit is in none of the histograms of its module, and every other is in all of them."""
    process = job(block, try_to_continue=["TypeError"])
    process.weight = Call(lambda event: np.ones(len(event["y"]) + (event["x"] == 12)), of=["x", "y"])
    process.filled = HistogramAnalyzer(
        histograms=[
            Histogram(of="x", bins=EVENTS, start=0, stop=EVENTS),
            Histogram(of="y", weight="weight", bins=1, start=0, stop=EVENTS),
        ]
    )
    process.end = EndPath(process.filled)
    report = process.run()
    counts = process.filled.histograms["x"].values().tolist()
    assert [number for number, count in enumerate(counts) if count != 1] == [12]
    assert report.module("filled").failed == 1
    assert process.filled.histograms["y"].sum().value == sum(n % 10 for n in range(EVENTS) if n != 12)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_analyzer_may_fail_for_an_event(block: int) -> None:
    """An event on which an analyzer fails is in the list; outputs that do not read it are written all the same."""
    process = job(block, try_to_continue=["ValueError"])
    process.look = FailsAnalyzer(on=[0, 20])
    process.out = Write()
    process.end = EndPath(process.look, process.out)
    report = process.run()
    assert process.out.events == [*range(EVENTS)]
    assert (report.failed_events, report.module("look").calls) == (2, EVENTS)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_output_never_goes_on(block: int) -> None:
    """An error of an output module ends the job whatever the policy says, and nothing of it gets its name."""

    class BadOutput(Write):
        def write(self, event: Event) -> None:
            if event["x"] == 9:
                raise ValueError("disk")
            super().write(event)

    process = job(block, try_to_continue=["Exception"], ignore=["ValueError"])
    process.out = BadOutput()
    process.end = EndPath(process.out)
    with pytest.raises(ModuleError, match="module 'out'"):
        process.run()
    assert process.out.life == ["begin", "end", "discard"]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_module_should_not_return_is_its_failure(block: int) -> None:
    """A filter that returns no bool, or a producer without one of its products, fails on that event alone."""

    class Odd(FailsFilter):
        def filter(self, event: Event) -> Any:
            return "yes" if event["x"] in (3, 4) else True

    class Two(Producer):
        produces = {"a": "int64", "b": "int64"}
        consumes = ("x",)

        def produce(self, event: Event) -> Any:
            return {"a": 1} if event["x"] in (30, 31) else {"a": int(event["x"]), "b": 2}

    process = job(block, try_to_continue=["TypeError"])
    process.odd = Odd()
    process.two = Two()
    process.look = Look(of=["two:a"])
    process.path = Path(process.odd, process.look)
    report = process.run()
    assert process.look.events == [n for n in range(EVENTS) if n not in (3, 4, 30, 31)]
    assert report.failed_events == 4
    assert [(one.module, one.events) for one in report.failures] == [("odd", 2), ("two", 2)]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", [FailsEvent, FailsColumns, FailsProduce])
def test_two_modules_may_fail_on_one_event(kind: type[Any], block: int) -> None:
    """An event counts once however many modules fail on it, and has a line for each."""
    process = job(block, try_to_continue=["ValueError"])
    process.one = kind(on=[3, 4])
    process.two = FailsEvent(on=[4, 5])
    process.look = Look(of=["one", "two"])
    process.end = EndPath(process.look)
    report = process.run()
    assert process.look.events == [n for n in range(EVENTS) if n not in (3, 4, 5)]
    assert report.failed_events == 3
    assert sorted((one.event, one.module) for one in report.failed) == [(3, "one"), (4, "one"), (4, "two"), (5, "two")]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_quota_counts_the_events_that_are_written(block: int) -> None:
    """An output that is to have so many events gets them from behind those that fail; failures behind the end do not count."""
    process = job(block, try_to_continue=["ValueError"])
    process.bad = FailsEvent(on=[1, 3, 30])
    process.out = Write(of=["bad"], max_events=5)
    process.end = EndPath(process.out)
    report = process.run()
    assert process.out.events == [0, 2, 4, 5, 6]
    assert report.failed_events == 2


class Begins(Service):
    """A service that fails at the begin of the job."""

    async def begin_job(self, job: Any) -> None:
        raise ValueError("not today")


class BeginsModule(Add):
    def begin_job(self, job: Any) -> None:
        raise ValueError("not today")


class EndsModule(Add):
    def end_job(self) -> None:
        raise ValueError("not today")


@pytest.mark.parametrize(
    ("part", "phase"), [(Begins, "begin_job"), (BeginsModule, "begin_job"), (EndsModule, "end_job")]
)
def test_the_policy_is_for_events_alone(part: type[Any], phase: str) -> None:
    """An error at the begin or end of the job ends it whatever the policy says, and outputs are discarded."""
    process = job(7, try_to_continue=["Exception"])
    process.part = part()
    process.out = Write()
    process.look = Look(of=["part"]) if issubclass(part, Add) else Look()
    process.end = EndPath(process.out, process.look)
    with pytest.raises((ModuleError, InferenceError), match=rf"'part' .*{phase}.*not today"):
        process.run()
    assert "commit" not in process.out.life


def test_the_policy_is_in_the_configuration_hash() -> None:
    """Rules change results, so they are in the hash; the name of the file of failed events is not."""
    from evproc.framework.dumping import results_hash

    def hash_of(**parameters: Any) -> str:
        process = Process("HASH")
        process.policy = ExceptionPolicy(**parameters)
        return results_hash(process)

    plain = hash_of()
    assert hash_of(failed_events="other.jsonl", max_failed=7) == plain
    assert len({plain, hash_of(ignore=["KeyError"]), hash_of(modules={"a": {"ignore": ["KeyError"]}})}) == 3
