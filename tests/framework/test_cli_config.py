"""`evproc config`: what it writes runs again with the same results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app

NUMBERS = str(Path(__file__).parent.parent / "workflows" / "numbers_workflow.py")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows write into the current folder; loading leaves theirs on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("name", ["numbers.yaml", "numbers.json"])
@pytest.mark.parametrize("extent", ["--full", "--set-only"])
def test_a_written_configuration_gives_the_same_results(name: str, extent: str) -> None:
    """Running the file that `config` wrote gives the output of the Python workflow, settings included."""
    settings = ["-o", "source.events=250", "-o", "scaled.scale.offset=0.25"]
    assert evproc("run", NUMBERS, "-q", *settings).exit_code == 0
    expected = Path("numbers.txt").read_text()
    Path("numbers.txt").unlink()
    assert evproc("config", NUMBERS, *settings, extent, "--output", name).exit_code == 0
    assert evproc("check", name).exit_code == 0
    assert evproc("run", name, "-q").exit_code == 0
    assert Path("numbers.txt").read_text() == expected


def test_a_configuration_of_a_configuration_is_the_same() -> None:
    """Dumping what was loaded from a dump changes nothing; `-o` works on it too."""
    evproc("config", NUMBERS, "--output", "numbers.yaml")
    text = Path("numbers.yaml").read_text()
    evproc("config", "numbers.yaml", "--output", "again.yaml")
    assert Path("again.yaml").read_text() == text
    changed = evproc("config", "numbers.yaml", "--format", "json", "-o", "source.events=7").stdout
    assert json.loads(changed)["modules"]["source"]["events"] == 7


def test_the_configuration_is_expanded_unless_told_otherwise() -> None:
    """The default form has all defaults, in YAML, on the terminal."""
    full, brief = evproc("config", NUMBERS).stdout, evproc("config", NUMBERS, "--set-only").stdout
    assert "  memory: " in full
    assert "memory" not in brief
    assert "options:\n  threads: 2\n" in brief
    assert "paths:\n  select: [doubled, scaled, high]\n" in full


def test_faults_keep_a_configuration_from_being_written() -> None:
    """Wrong settings and wrong parameters are reported together, and no file is written."""
    shown = evproc("config", NUMBERS, "-o", "nobody.x=1", "-o", "high.treshold=1", "--output", "numbers.yaml")
    assert shown.exit_code == 2
    assert "no module or service 'nobody'" in shown.stderr
    assert "high.treshold: unknown parameter 'treshold'; did you mean 'threshold'?" in shown.stderr
    assert not Path("numbers.yaml").exists()


def test_an_output_that_cannot_be_written_is_explained() -> None:
    """A folder that is not there is an error of the output."""
    shown = evproc("config", NUMBERS, "--output", "numbers.txt")
    assert shown.exit_code == 4
    assert "cannot write 'numbers.txt': `evproc run` takes .yaml, .yml, .json" in shown.stderr
    shown = evproc("config", NUMBERS, "--output", "nowhere/numbers.yaml")
    assert shown.exit_code == 4
    assert "cannot write 'nowhere/numbers.yaml'" in shown.stderr
