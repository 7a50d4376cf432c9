"""Failed events are written to a file, and that file is what `evproc run --only` takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evproc.framework import ConfigurationError, EndPath, ExceptionPolicy, ModuleError, Process
from evproc.framework.cli.main import app
from evproc.framework.dumping import results_hash
from evproc.framework.testing import EventSource
from tests.framework.core_toys import Look, Write, numbers
from tests.framework.failing_toys import FailsEvent
from tests.root_files import open_root

WORKFLOW = '''
import os

from evproc.framework import EndPath, Event, ExceptionPolicy, Path, Process, Producer
from evproc.modules import ArraySource, NtupleOutput


class Inverse(Producer):
    """One divided by x."""

    produces = "float64"
    consumes = ("x",)

    def produce(self, event: Event) -> float:
        """Of one event."""
        return 1 / int(event["x"] % int(os.environ.get("MODULUS", "5")))


process = Process("INVERSE", block=7)
process.source = ArraySource({"x": [*range(23)]})
process.policy = ExceptionPolicy(try_to_continue=["ZeroDivisionError"])
process.inverse = Inverse()
process.out = NtupleOutput(file="inverse.root", keep=["x", "inverse"])
process.end = EndPath(process.inverse, process.out)
'''


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("workflow.py").write_text(WORKFLOW)


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def written(file: str = "inverse.root") -> list[int]:

    with open_root(file) as root:
        return root["Events"]["x"].array(library="np").tolist()  # type: ignore[no-any-return]


def lines_of(file: str = "failed_events.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def test_failed_events_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job goes on behind failed events, says so with exit code 7, and `--only` runs just these, until none is left."""
    shown = evproc("run", "workflow.py", "--report", "report.json")
    assert shown.exit_code == 7, shown.output
    assert "5 events have failed (22 %); run them again with --only failed_events.jsonl." in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if "ZeroDivisionError" in line)
    assert row.split()[:4] == ["inverse", "ZeroDivisionError", "try_to_continue", "5"]
    assert written() == [number for number in range(23) if number % 5]
    head, *lines = lines_of()
    assert head["workflow"] == "INVERSE"
    assert len(head["configuration"]) == 64
    assert [(line["run"], line["luminosity_block"], line["event"]) for line in lines] == [
        (1, 1, number) for number in (0, 5, 10, 15, 20)
    ]
    assert {line["module"] for line in lines} == {"inverse"}
    assert lines[0]["error"] == "ZeroDivisionError"
    assert lines[0]["raised"].startswith("workflow.py:")
    report = json.loads(Path("report.json").read_text())
    assert report["failed_events"] == 5
    assert report["failures"][0]["events"] == 5
    assert [entry["event"] for entry in report["failed"]] == [0, 5, 10, 15, 20]

    monkeypatch.setenv("MODULUS", "10")
    again = evproc("run", "workflow.py", "--only", "failed_events.jsonl", "-o", "out.file=again.root")
    assert again.exit_code == 7, again.output
    assert written("again.root") == [5, 15]
    assert [line["event"] for line in lines_of()[1:]] == [0, 10, 20]

    monkeypatch.setenv("MODULUS", "100")
    evproc("run", "workflow.py", "--only", "failed_events.jsonl", "-o", "out.file=third.root")
    assert written("third.root") == [10, 20]
    monkeypatch.setenv("MODULUS", "23")
    Path("failed_events.jsonl").write_text("1:1:10\n1:1:20  # and a comment\n")
    last = evproc("run", "workflow.py", "--only", "failed_events.jsonl", "-o", "out.file=last.root")
    assert (last.exit_code, written("last.root")) == (0, [10, 20])
    assert not Path("failed_events.jsonl").exists()


@pytest.mark.parametrize("form", ["ttree", "rntuple", "parquet"])
def test_an_output_says_which_events_it_lacks(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed in a job is in the record of the files that it writes; nothing is said of a job without failures."""
    file = "inverse.parquet" if form == "parquet" else "inverse.root"
    for modulus, events in (("5", 5), ("50", 1)):
        monkeypatch.setenv("MODULUS", modulus)
        evproc("run", "workflow.py", "-o", f"out.format={form}", "-o", f"out.file={file}")
        found = json.loads(evproc("provenance", file, "--json").stdout)
        assert found["failed_events"] == events
        assert [list(entry.values()) for entry in found["failures"]] == [
            ["inverse", "ZeroDivisionError", "try_to_continue", events]
        ]
        screen = evproc("provenance", file).stdout
        assert "inverse" in screen
        assert "ZeroDivisionError" in screen
    Path("good.txt").write_text("1:1:1")
    evproc("run", "workflow.py", "--only", "good.txt", "-o", f"out.file={file}", "-o", f"out.format={form}")
    found = json.loads(evproc("provenance", file, "--json").stdout)
    assert (found["failed_events"], found["failures"]) == (0, [])
    assert "failed" not in evproc("provenance", file).stdout


def test_a_list_of_events_that_cannot_be_read_is_a_fault() -> None:
    """What is wrong with the list is told before the first event."""
    Path("bad.txt").write_text("1:1:4\n1:1\n")
    Path("empty.txt").write_text("# nothing\n")
    for name, message in (
        ("none.jsonl", "options.only: the list of events 'none.jsonl' cannot be read: No such file"),
        ("bad.txt", "line 2 of 'bad.txt' names no event; it should be run:block:event"),
        ("empty.txt", "names no event"),
    ):
        shown = evproc("run", "workflow.py", "--only", name)
        assert shown.exit_code == 2
        assert message in shown.stderr


def test_events_that_the_input_does_not_have_are_told() -> None:
    """An event of the list that is not found is a warning, and stays on the list."""
    Path("failed_events.jsonl").write_text("1:1:3\n1:1:99\n2:1:3\n")
    shown = evproc("run", "workflow.py", "--only", "failed_events.jsonl")
    assert shown.exit_code == 0
    assert "2 of the 3 events of 'failed_events.jsonl' are not in the input: run 1, luminosity block 1, event 99" in (
        shown.stdout
    )
    assert written() == [3]
    assert Path("failed_events.jsonl").read_text().splitlines()[1:] == ["1:1:99", "2:1:3"]


def test_a_list_of_another_workflow_is_told() -> None:
    """The events of another workflow are run, with a warning."""
    Path("list.jsonl").write_text(
        '{"failed_events": 1, "workflow": "OTHER"}\n{"run": 1, "luminosity_block": 1, "event": 3}\n'
    )
    shown = evproc("run", "workflow.py", "--only", "list.jsonl")
    assert shown.exit_code == 0
    assert "the events of 'list.jsonl' failed in workflow 'OTHER', not in 'INVERSE'" in shown.stdout


def test_the_event_that_ends_a_job_is_in_the_file() -> None:
    """A job that ends with an error leaves a file of what had failed, the event that ended it included, and no output."""
    process = Process("ENDS", block=7)
    process.source = numbers(40)
    process.policy = ExceptionPolicy(try_to_continue=["KeyError"])
    process.one = FailsEvent(on=[3, 9, 30], error="KeyError")
    process.two = FailsEvent(on=[16])
    process.out = Write(of=["one", "two"])
    process.end = EndPath(process.out)
    with pytest.raises(ModuleError, match="event 16"):
        process.run()
    found = [(line["event"], line["module"], line["error"]) for line in lines_of()[1:]]
    assert found[:2] == [(3, "one", "KeyError"), (9, "one", "KeyError")]
    assert (16, "two", "ValueError") in found
    assert process.out.life[-1] == "discard"


def test_a_failed_job_keeps_its_whole_list() -> None:
    """When a job for some events ends with an error, all its events stay on the list, for its outputs are gone."""
    Path("failed_events.jsonl").write_text("1:1:3\n1:1:16\n1:1:30\n")
    process = Process("ENDS", block=1, only="failed_events.jsonl")
    process.source = numbers(40)
    process.policy = ExceptionPolicy(try_to_continue=["KeyError"])
    process.two = FailsEvent(on=[16])
    process.look = Look(of=["two"])
    process.end = EndPath(process.look)
    with pytest.raises(ModuleError, match="event 16"):
        process.run()
    assert Path("failed_events.jsonl").read_text().splitlines()[-3:] == ["1:1:3", "1:1:16", "1:1:30"]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_too_many_failed_events_end_the_job(block: int) -> None:
    """`max_failed` ends the job, and the message names the event that was one too many."""
    process = Process("MANY", block=block)
    process.source = numbers(40)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], max_failed=3)
    process.one = FailsEvent(on=[3, 9, 20, 21, 35])
    process.look = Look(of=["one"])
    process.end = EndPath(process.look)
    with pytest.raises(ModuleError, match=r"more than max_failed = 3 events .* 'one' at .* event 21: ValueError"):
        process.run()
    again = process.clone()
    again.policy.set(max_failed=5)
    assert again.run().failed_events == 5


def test_a_former_list_does_not_outlive_a_job_without_failures() -> None:
    """When nothing fails, a file of failed events of an earlier job is gone."""
    Path("failed_events.jsonl").write_text("1:1:3\n")
    process = Process("WELL")
    process.source = numbers(4)
    process.policy = ExceptionPolicy(try_to_continue=["Exception"])
    process.look = Look()
    process.end = EndPath(process.look)
    assert process.run().failed_events_file == ""
    assert not Path("failed_events.jsonl").exists()


def test_which_events_are_run_is_in_the_configuration_hash() -> None:
    """A job for some events has another hash than the whole job, and lists of other events have others."""
    process = Process("HASH")
    process.source = EventSource({"x": [1, 2]})
    hashes = [results_hash(process)]
    for text in ("1:1:1\n", "1:1:2\n"):
        Path("list.txt").write_text(text)
        process.set_options(only="list.txt")
        hashes.append(results_hash(process))
    assert len(set(hashes)) == 3


IDS = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(0, 6)), min_size=1, max_size=30, unique=True)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, st.data(), st.integers(1, 9))
def test_just_the_events_of_the_list_are_run(ids: list[tuple[int, int, int]], data: st.DataObject, chunk: int) -> None:
    """Over random identities and lists: the events of the list, in the order of the input, with their own products."""
    wanted = data.draw(st.lists(st.sampled_from([*ids, (9, 9, 9)]), min_size=1, unique=True))
    Path("list.txt").write_text("".join(f"{run}:{block}:{event}\n" for run, block, event in wanted))
    expected = [place for place, identity in enumerate(ids) if identity in wanted]
    for block in (1, 7, 1000):
        process = Process("SOME", block=block, only="list.txt")
        process.source = EventSource(
            {"x": [*range(len(ids))], "y": [[place] * (place % 3) for place in range(len(ids))]}, ids, chunk=chunk
        )
        process.look = Look(of=["x", "y"])
        process.end = EndPath(process.look)
        report = process.run()
        assert [row[1] for row in process.look.rows] == expected
        assert [list(row[2]) for row in process.look.rows] == [[place] * (place % 3) for place in expected]
        assert report.events == report.input.events == len(expected)
        left_out = report.input.left_out.get("not on the list of events", 0)
        assert left_out == len(ids) - len(expected)


def test_faults_of_the_policy_are_found_before_the_first_event() -> None:
    """Unknown categories and modules, outputs, categories in two lists: all are told together, with near names."""
    process = Process("FAULTS")
    process.source = numbers(4)
    process.out = Write()
    process.policy = ExceptionPolicy(
        try_to_continue=["ZeroDivsionError", "KeyError", "InternalError"],
        ignore=["KeyError"],
        modules={"owt": {"ignore": ["ValueError"]}, "out": {"ignore": ["ValueError"]}, "look": {"ignore": ["Valu"]}},
        call_anyway=["loook"],
        failed_events="nowhere/failed.jsonl",
    )
    process.look = Look()
    process.end = EndPath(process.look, process.out)
    with pytest.raises(ConfigurationError) as raised:
        process.run()
    text = str(raised.value)
    for part in (
        "policy.try_to_continue: no exception class is named 'ZeroDivsionError'; did you mean 'ZeroDivisionError'",
        "policy.try_to_continue: an InternalError is a bug in evproc",
        "policy.ignore: category 'KeyError' is named in try_to_continue already",
        "policy.modules.owt: no module 'owt' runs; did you mean 'out'?",
        "policy.modules.out: 'out' is an output module; an error of it always ends the job",
        "policy.modules.look.ignore: no exception class is named 'Valu'",
        "policy.call_anyway: no module 'loook' runs; did you mean 'look'?",
        "policy.failed_events: there is no folder",
    ):
        assert part in text, text
    assert len(raised.value.faults) == 8
