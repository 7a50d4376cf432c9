"""The form of reports: real ones keep the schema, and come back as they were."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from evproc.framework import EndPath, ExceptionPolicy, InputError, Process, Report
from evproc.framework import Path as ModulePath
from evproc.framework.cli.main import app
from evproc.framework.report_form import described, read_report, schema
from evproc.modules import Memory, Timing, Tracer
from tests.framework.core_toys import Add, Divisible, Later, Look, numbers
from tests.framework.failing_toys import FailsEvent


def plain_job(folder: Path) -> Process:
    """A path, a filter, external work."""
    process = Process("PLAIN")
    process.source = numbers(50)
    process.a = Add()
    process.even = Divisible()
    process.later = Later(of=["a"])
    process.look = Look(of=["later"])
    process.path = ModulePath(process.a, process.even, process.later, process.look)
    return process


def watched_job(folder: Path) -> Process:
    """The same with all services that watch."""
    process = plain_job(folder)
    process.timing, process.memory, process.tracer = Timing(), Memory(), Tracer(file=str(folder / "trace.json"))
    return process


def failing_job(folder: Path) -> Process:
    """Events that fail."""
    process = Process("FAILS", max_seconds=3600)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events=str(folder / "failed.jsonl"))
    process.source = numbers(50)
    process.bad = FailsEvent(on=[3, 7])
    process.look = Look(of=["bad"])
    process.end = EndPath(process.look)
    return process


@pytest.mark.parametrize("job", [plain_job, watched_job, failing_job])
def test_real_reports_keep_the_schema(job: Any, tmp_path: Path) -> None:
    """What a job writes is valid, and is the same report when it is read."""
    report = job(tmp_path).run()
    file = tmp_path / "report.json"
    report.write(file)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(file.read_text()))
    again = read_report(file)
    assert isinstance(again, Report)
    assert again.to_dict() == json.loads(file.read_text())


def test_the_schema_is_one_and_refuses_other_things(tmp_path: Path) -> None:
    """It is a schema; a field too many, one that lacks and one of another type are not valid."""
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    good = plain_job(tmp_path).run().to_dict()
    assert validator.is_valid(good)
    for change in (
        lambda data: data.update(more=1),
        lambda data: data.pop("events"),
        lambda data: data.update(version=0),
        lambda data: data["modules"][0].update(calls="many"),
        lambda data: data["input"].pop("lumis"),
    ):
        bad = copy.deepcopy(good)
        change(bad)
        assert not validator.is_valid(bad)


def test_every_object_and_most_fields_are_described() -> None:
    """Each object says what it is; of the report and of modules, each field does."""
    for name, text, rows in described():
        assert text.endswith(".")
        if name in ("Report", "ModuleReport"):
            silent = [field for field, _, sentence in rows if not sentence]
            assert set(silent) <= {"paths", "outputs", "input"}, name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ("{}", "it has no version"),
        ('{"version": 99}', "its version is 99, not 1"),
        ('{"version": 1, "process": "P", "events": "many"}', "events: "),
    ],
)
def test_what_is_no_report_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """The error says which file, and what is wrong with it."""
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(InputError, match=f"report.json.*{said}"):
        read_report(file)


def test_the_command_shows_summary_schema_and_fields(tmp_path: Path) -> None:
    """`evproc report FILE` shows what `evproc run` showed; `--schema` and `--fields` the form; without any, usage."""
    from evproc.framework.cli.summary import summary, write

    file = tmp_path / "report.json"
    report = watched_job(tmp_path).run()
    report.write(file)
    runner = CliRunner()
    shown = runner.invoke(app, ["report", str(file)])
    assert shown.exit_code == 0, shown.output
    with (tmp_path / "summary.txt").open("w+") as stream:
        write(summary(report), stream)
        stream.seek(0)
        assert shown.stdout == stream.read()
    assert "time per event" in shown.stdout
    assert "products of" in shown.stdout
    assert json.loads(runner.invoke(app, ["report", "--schema"]).stdout) == schema()
    assert "ModuleReport: What one module did." in runner.invoke(app, ["report", "--fields"]).stdout
    assert runner.invoke(app, ["report"]).exit_code == 2
    assert runner.invoke(app, ["report", str(tmp_path / "none.json")]).exit_code == 3
