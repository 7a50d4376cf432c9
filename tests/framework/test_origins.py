"""Where values come from, and what differs between two configurations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework import Modifier, Process, SwitchProducer
from evproc.framework.cli.main import app
from evproc.framework.loading import load, results_hash
from evproc.framework.origins import compare, settings_of, snapshot
from tests.framework.core_toys import Add, Divisible, Later, numbers

WORKFLOWS = Path(__file__).parent.parent / "workflows"
NUMBERS = str(WORKFLOWS / "numbers_workflow.py")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def rows(*arguments: str) -> dict[str, list[str]]:
    """The lines of `config --origin`, by key: origin and value."""
    done = evproc("config", *arguments, "--origin")
    assert done.exit_code == 0, done.output
    lines = [line.split("  ") for line in done.stdout.splitlines()[1:]]
    return {line[0].strip(): [part.strip() for part in line[1:] if part.strip()] for line in lines}


def test_each_value_says_where_it_comes_from() -> None:
    """Defaults, lines of the workflow and options of the command line are told apart, in blocks and in options too."""
    text = Path(NUMBERS).read_text().splitlines()
    line = next(number for number, text in enumerate(text, 1) if "scaled" in text)
    found = rows(NUMBERS, "-o", "scaled.scale.offset=0.25", "-o", "options.streams=3")
    assert found["scaled.scale.offset"] == ["-o scaled.scale.offset=0.25", "0.25"]
    assert found["scaled.scale.factor"] == [f"numbers_workflow.py:{line}", "0.5"]
    assert found["options.streams"] == ["-o options.streams=3", "3"]
    assert found["options.threads"][0].startswith("numbers_workflow.py:")
    assert found["options.block"] == ["default", "auto"]
    assert found["source.chunk"][0] == "default"


def test_values_of_a_configuration_file_have_their_lines() -> None:
    """Each key of a YAML file has its own line; a JSON file has its name."""
    evproc("config", NUMBERS, "--set-only", "--output", "numbers.yaml")
    evproc("config", NUMBERS, "--set-only", "--output", "numbers.json")
    lines = Path("numbers.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "factor" in text)
    found = rows("numbers.yaml")
    assert found["scaled.scale.factor"] == [f"numbers.yaml:{line}", "0.5"]
    assert found["scaled.scale.offset"] == ["default", "0.0"]
    assert rows("numbers.json")["scaled.scale.factor"] == ["numbers.json", "0.5"]


def test_modifiers_functions_and_cases_are_origins() -> None:
    """A modifier, a customise function and the function of a switch are named as what set the value."""
    modifier = Modifier("test_origin")
    process = Process("P", [modifier], streams=2)
    process.source, process.add, process.even = numbers(3), Add(), Divisible()
    process.energy = SwitchProducer(lambda process: "b", a=Add(plus=1), b=Later(plus=2))
    modifier.modify(process.add, plus=5)

    def tune(process: Process) -> None:
        process.even.set(by=3)
        process.set_options(threads=2)

    process.customise(tune)
    origins = {setting.key: setting.origin for setting in settings_of(process)}
    assert origins["add.plus"].startswith("modifier test_origin [test_origins.py:")
    assert origins["even.by"].startswith("customise tune [test_origins.py:")
    assert origins["options.threads"].startswith("customise tune [test_origins.py:")
    assert origins["options.streams"].startswith("test_origins.py:")
    assert origins["energy.case"].startswith("function <lambda>")
    assert origins["energy.a.plus"].startswith("test_origins.py:")
    assert origins["energy.b.turns"] == "default"
    placed = {setting.key for setting in settings_of(process) if setting.placement}
    assert "energy.a.plus" in placed
    assert "energy.b.plus" not in placed


def test_a_faulty_workflow_has_no_origins_but_faults() -> None:
    """Wrong values are reported, not listed."""
    done = evproc("config", NUMBERS, "--origin", "-o", "scaled.scal=1")
    assert done.exit_code == 2
    assert "did you mean 'scale'" in done.stderr


CHANGES: dict[str, tuple[str, Any, bool]] = {
    "a parameter": ("scaled.scale.offset", 0.25, True),
    "a placement": ("source.chunk", 7, False),
    "an option": ("options.streams", 7, False),
    "a seed": ("options.seed", 7, True),
    "a service": ("clock.server", "elsewhere", False),
    "the same": ("scaled.scale.offset", 0.0, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_in_results_is_one_of_the_hash(name: str) -> None:
    """What is shown as changing results changes the hash, and nothing else does."""
    key, value, matters = CHANGES[name]
    process = load(Path(NUMBERS))
    before, hash_before = snapshot(process), results_hash(process)
    process.override(key, value)
    found = compare(before, snapshot(process))
    assert bool(found.results) == matters == (results_hash(process) != hash_before)
    assert [*found.results, *found.placement] == ([key] if name != "the same" else [])


def test_added_removed_and_replaced_parts_differ() -> None:
    """A part that only one has is told once, by its type; other types and paths differ too."""
    second = load(Path(NUMBERS))
    before = snapshot(second)
    second.more = Add(plus=3)
    second.doubled = Add(plus=4)
    second.select = type(second.select)("doubled")
    found = compare(before, snapshot(second))
    assert found.results["more.type"] == (None, "tests.framework.core_toys:Add")
    assert "more.plus" not in found.results
    assert found.results["doubled.type"][0] == "numbers_workflow:Doubled"
    assert found.results["doubled.plus"] == (None, 4)
    assert found.results["paths.select"] == (["doubled", "scaled", "high"], ["doubled"])


def test_the_command_line_shows_what_differs() -> None:
    """`config --diff A B` shows both groups and ends with 1 if results can differ, else with 0; JSON has the same."""
    same = evproc("config", "--diff", NUMBERS, NUMBERS)
    assert (same.exit_code, same.stdout) == (0, "nothing differs\n")
    placed = evproc("config", "--diff", NUMBERS, NUMBERS, "-o", "options.streams=3")
    assert (placed.exit_code, placed.stdout) == (0, "changes no results\n  options.streams  auto -> 3\n")
    settings = ["-o", "options.streams=3", "-o", "source.events=7"]
    both = evproc("config", "--diff", NUMBERS, NUMBERS, *settings)
    assert both.exit_code == 1
    assert both.stdout.startswith("changes results\n  source.events  400 -> 7\nchanges no results\n")
    data = json.loads(evproc("config", "--diff", NUMBERS, NUMBERS, *settings, "--format", "json").stdout)
    assert data == {"results": {"source.events": [400, 7]}, "placement": {"options.streams": ["auto", 3]}}
    wrong = evproc("config", "--diff", "nowhere.py", NUMBERS)
    assert wrong.exit_code == 2


def test_a_workflow_and_its_dump_do_not_differ() -> None:
    """The file that `config` wrote is the same configuration as the workflow."""
    evproc("config", NUMBERS, "--output", "numbers.yaml")
    assert evproc("config", "--diff", NUMBERS, "numbers.yaml").stdout == "nothing differs\n"
    assert evproc("config", "--diff", "numbers.yaml", NUMBERS).stdout == "nothing differs\n"
