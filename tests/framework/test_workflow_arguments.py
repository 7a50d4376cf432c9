"""Arguments, modifiers and customise functions on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.documents import parse_document

HEAD = f"""\
import sys
sys.path.append({str(Path(__file__).parent.parent / "workflows")!r})
from evproc.framework import EndPath, Modifier, Process
from toys import Numbers, Scaled
"""
ARGPARSE = (
    HEAD
    + """
import argparse
parser = argparse.ArgumentParser(description="A workflow with arguments.")
parser.add_argument("--events", type=int, default=10)
parser.add_argument("--shift", type=float, default=0.0, help="how far")
arguments = parser.parse_args()
process = Process("ARGPARSE")
process.source = Numbers(events=arguments.events)
process.scaled = Scaled(of="x", scale={"offset": arguments.shift})
process.end = EndPath(process.scaled)
"""
)
FUNCTION = (
    HEAD
    + """
def process(events: int = 10, shift: float = 0.0) -> Process:
    \"\"\"A workflow whose options are those of a function.\"\"\"
    made = Process("FUNCTION")
    made.source = Numbers(events=events)
    made.scaled = Scaled(of="x", scale={"offset": shift})
    made.end = EndPath(made.scaled)
    return made
"""
)
TYPER = (
    HEAD
    + """
import typer
def main(events: int = 10, shift: float = 0.0) -> None:
    global process
    process = Process("TYPER")
    process.source = Numbers(events=events)
    process.scaled = Scaled(of="x", scale={"offset": shift})
    process.end = EndPath(process.scaled)
typer.run(main)
"""
)
PLAIN = (
    HEAD
    + """
remote, fast = Modifier("remote"), Modifier("fast")
process = Process("PLAIN")
process.source = Numbers()
process.scaled = Scaled(of="x")
process.end = EndPath(process.scaled)
remote.modify(process.scaled, scale={"offset": 3.0})
(remote & fast).modify(process.scaled, **{"scale.factor": 4.0})
"""
)
FORMS = {"argparse": ARGPARSE, "function": FUNCTION, "typer": TYPER}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows are written into a folder of their own; loading leaves it on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, text in {**FORMS, "plain": PLAIN}.items():
        Path(f"{name}_flow.py").write_text(text)
    Path("custom.py").write_text("def tune(process):\n    process.scaled.set(scale={'factor': 8.0})\n")


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def configured(*arguments: str) -> dict[str, Any]:
    done = evproc("config", "--format", "json", *arguments)
    assert done.exit_code == 0, done.output
    data: dict[str, Any] = json.loads(done.stdout)
    return data


@pytest.mark.parametrize("form", FORMS)
def test_a_workflow_has_options_of_its_own(form: str) -> None:
    """Options behind the file's name go to its argparse, typer or function; those of evproc stay evproc's, in any order."""
    file = f"{form}_flow.py"
    data = configured(file, "--shift", "-2.5", "-o", "scaled.scale.factor=3", "--events=4")
    assert data["modules"]["source"]["events"] == 4
    assert data["modules"]["scaled"]["scale"] == {"factor": 3.0, "offset": -2.5}
    assert data["arguments"] == ["--shift", "-2.5", "--events=4"]
    done = evproc("run", file, "--quiet", "--events", "5", "--report", "r.json")
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(Path("r.json").read_text())["events"] == 5
    assert configured(file, "--", "--events", "6")["modules"]["source"]["events"] == 6
    assert configured(file)["modules"]["source"]["events"] == 10
    assert "arguments" not in configured(file)


@pytest.mark.parametrize("form", FORMS)
def test_help_behind_the_name_is_that_of_the_workflow(form: str) -> None:
    """`--help` behind a workflow shows its own arguments, before it those of the command."""
    done = evproc("run", f"{form}_flow.py", "--help")
    assert done.exit_code == 0
    assert "--shift" in done.stdout
    assert f"These are the arguments of {form}_flow.py; `--help` before its name shows those of evproc." in done.stdout
    assert "--report" not in done.stdout
    assert "--report" in evproc("run", "--help", f"{form}_flow.py").stdout


def test_help_of_a_workflow_without_arguments_is_that_of_the_command() -> None:
    """A workflow that reads no arguments says so under the help of the command, and nothing runs."""
    done = evproc("run", "plain_flow.py", "--help")
    assert done.exit_code == 0
    assert "--report" in done.stdout
    assert done.stdout.endswith("plain_flow.py has no arguments of its own.\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_argument_is_told_by_the_workflow(form: str) -> None:
    """An option that neither knows is the workflow's error, with its usage and exit code 2."""
    done = evproc("run", f"{form}_flow.py", "--evnts", "3")
    assert done.exit_code == 2
    assert "--evnts" in done.output
    assert f"{form}_flow" in done.output


def test_an_argument_that_nobody_takes_is_an_error() -> None:
    """A workflow that reads no arguments does not swallow a mistyped option: the nearest is named."""
    done = evproc("run", "plain_flow.py", "--quite")
    assert done.exit_code == 2
    assert "'plain_flow.py' takes no arguments, but got --quite; did you mean '--quiet'" in done.stderr
    done = evproc("run", "--quite", "plain_flow.py")
    assert done.exit_code == 2
    assert "no option --quite; did you mean '--quiet'?; options of a workflow come behind its name" in done.stderr
    Path("a.yaml").write_text("process: A\n")
    done = evproc("run", "a.yaml", "--repor", "x.json", "--modifier", "remote")
    assert "a configuration takes no arguments, but got --repor x.json; did you mean '--report'" in done.stderr
    assert "a configuration is expanded: modifiers are for Python workflows, but got remote" in done.stderr


def test_modifiers_and_functions_of_the_command_line() -> None:
    """--modifier, then --customise, then -o change the process; the dump records what was asked for."""

    def scale(*arguments: str) -> tuple[float, float]:
        block = configured("plain_flow.py", *arguments)["modules"]["scaled"]["scale"]
        return block["factor"], block["offset"]

    plain = scale()
    assert scale("--modifier", "remote") == (plain[0], 3.0)
    assert scale("--modifier", "remote", "--modifier", "fast") == (4.0, 3.0)
    assert scale("--modifier", "fast") == plain
    assert scale("--modifier", "remote", "--modifier", "fast", "--customise", "custom.py:tune") == (8.0, 3.0)
    assert scale("--customise", "custom.py:tune", "-o", "scaled.scale.factor=9") == (9.0, plain[1])
    data = configured("plain_flow.py", "--modifier", "remote", "--customise", "custom.py:tune")
    assert data["modifiers"] == ["remote"]
    assert data["customise"] == ["custom.py:tune"]


def test_a_configuration_keeps_what_it_was_made_with() -> None:
    """Arguments, modifiers and functions of a dump are a record: running it applies nothing again, and it dumps as it was."""
    evproc("config", "plain_flow.py", "--modifier", "remote", "--customise", "custom.py:tune", "--output", "a.yaml")
    evproc("config", "argparse_flow.py", "--events", "3", "--output", "b.yaml")
    for name in ("a.yaml", "b.yaml"):
        text = Path(name).read_text()
        evproc("config", name, "--output", "again.yaml")
        assert Path("again.yaml").read_text() == text
        assert not parse_document(text, name, False).faults
    assert parse_document(Path("b.yaml").read_text(), "b.yaml", False).data["arguments"] == ["--events", "3"]


def test_unknown_modifiers_and_functions_are_named() -> None:
    """A modifier that the workflow does not have, and a function that is not there, are faults that offer the nearest."""
    done = evproc("check", "plain_flow.py", "--modifier", "remot")
    assert done.exit_code == 2
    assert "no modifier is named 'remot'; did you mean 'remote'" in done.stderr
    done = evproc("check", "plain_flow.py", "--customise", "custom.py:tun", "-o", "scaled.scal=1")
    assert "'custom.py' has no function 'tun'; did you mean 'tune'?  [--customise custom.py:tun]" in done.stderr
    assert "scaled.scal: unknown parameter 'scal'; did you mean 'scale'? (Scaled)  [-o scaled.scal=1]" in done.stderr
