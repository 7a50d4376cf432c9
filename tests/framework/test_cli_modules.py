"""`evproc modules`: what is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.cli.text import count, duration, names, percent, rate, size
from evproc.framework.config import Block, InputTag
from evproc.framework.description import type_text

WORKFLOWS = Path(__file__).parent.parent / "workflows"


@pytest.fixture(autouse=True)
def _toys_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the test workflows as an installed package, with one that is broken."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EVPROC_PLUGINS", "toy-package")
    (tmp_path / "toy_plugin.py").write_text((WORKFLOWS / "toys.py").read_text())
    info = tmp_path / "toy_package-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 0.3\n")
    parts = "".join(f"{name} = toy_plugin:{name}\n" for name in ("Scaled", "Numbers", "Clock", "Lost"))
    (info / "entry_points.txt").write_text(f"[evproc.modules]\n{parts}")
    yield
    sys.modules.pop("toy_plugin", None)


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_what_is_installed_is_listed() -> None:
    """The list shows name, kind, first line of the docstring and the package; what is broken comes last."""
    shown = evproc("modules")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert "Scaled producer A number, scaled. of toy-package 0.3" in [" ".join(line.split()) for line in lines]
    assert any(line.startswith("Clock ") and " service " in line for line in lines)
    broken = [line for line in lines if line.startswith("broken: ")]
    assert any(
        line.startswith("broken: plug-in 'Lost' (toy_plugin:Lost, of package toy-package 0.3)") for line in broken
    )
    assert lines[-len(broken) :] == broken


def test_the_list_is_also_json() -> None:
    """`--json` gives the same as data, with the fault of what is broken."""
    entries = {entry["name"]: entry for entry in json.loads(evproc("modules", "--json").stdout)}
    assert entries["Scaled"]["kind"] == "producer"
    assert entries["Scaled"]["version"] == "0.3"
    assert "has no attribute 'Lost'" in entries["Lost"]["error"]


def test_one_module_is_shown_with_its_parameters() -> None:
    """A module's parameters have type, unit, default and a sentence, nested ones indented; inputs and outputs follow."""
    shown = evproc("modules", "Scaled")
    assert shown.exit_code == 0
    lines = [line.split("  ") for line in shown.stdout.splitlines()]
    words = [[part.strip() for part in line if part.strip()] for line in lines]
    assert ["Scaled", "producer, of toy-package 0.3"] in words
    assert ["of", "product", "x"] in words
    assert ["factor", "number > 0", "2.0", "multiplies"] in words
    assert ["offset", "number", "0.0 GeV", "is added"] in words
    assert ["reads", "x"] in words
    assert ["makes", "LABEL", "float32"] in words
    assert "  factor " in shown.stdout


def test_placement_is_marked() -> None:
    """Parameters that change no results are marked, and the mark is explained."""
    shown = evproc("modules", "Numbers").stdout
    assert "events in a chunk (placement)" in shown
    assert "changes no results" in shown


def test_one_module_is_also_json() -> None:
    """`--json` gives all that is known of one module."""
    found = json.loads(evproc("modules", "Scaled", "--json").stdout)
    assert found["makes"] == {"LABEL": "float32"}
    offset = found["parameters"][1]["inner"][1]
    assert (offset["name"], offset["unit"], offset["default"], offset["required"]) == ("offset", "GeV", 0.0, False)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A typing error shows the right name, with exit code 2; a broken one says why."""
    shown = evproc("modules", "Scald")
    assert shown.exit_code == 2
    assert "no plug-in is named 'Scald'; did you mean 'Scaled'?" in shown.stderr
    assert evproc("modules", "Lost").exit_code == 2


class Inner(Block):
    value: int = 0


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "integer"),
        (bool, "true or false"),
        (float | None, "number or none"),
        (InputTag, "product"),
        (list[InputTag], "list of products"),
        (InputTag | None, "product or none"),
        (Annotated[int, Field(ge=1)] | Literal["auto"], 'integer >= 1 or "auto"'),
        (Annotated[float, Field(gt=0, le=1)], "number > 0 and <= 1"),
        (list[str] | str, "list of texts or text"),
        (tuple[float, float], "number and number"),
        (tuple[float, ...], "list of numbers"),
        (dict[str, list[int]], "table of (list of integers)"),
        (Annotated[list[str], Field(min_length=2)], "list of texts (2 at least)"),
        (Inner, "block"),
        (list[Inner], "list of blocks"),
        (Path, "path"),
    ],
)
def test_types_are_said_in_words(annotation: Any, expected: str) -> None:
    """A type reads as a person would say it."""
    field = create_model("Config", value=(annotation, ...)).model_fields["value"]
    assert type_text(field.annotation, field.metadata) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(1, "event"), "1 event"),
        (count(12_000, "event"), "12,000 events"),
        (duration(0.00004), "40 us"),
        (duration(0.0042), "4.2 ms"),
        (duration(0.99999), "1 s"),
        (duration(8.314), "8.31 s"),
        (duration(125), "2 min 5 s"),
        (duration(4350), "1 h 12 min"),
        (size(812), "812 B"),
        (size(1_234_567), "1.23 MB"),
        (size(999_900), "1 MB"),
        (percent(1, 3), "33 %"),
        (percent(0, 3), "0 %"),
        (percent(1, 1000), "0.1 %"),
        (percent(1, 100_000), "<0.1 %"),
        (percent(299_999, 300_000), "99.99 %"),
        (percent(1, 0), ""),
        (rate(24_123.4), "24,123 events/s"),
        (rate(0.523), "0.52 events/s"),
        (names(["gain", "q0", "q1", "q2", "a1", "a2"]), "gain, q0 ... q2, a1, a2"),
    ],
)
def test_figures_read_well(shown: str, expected: str) -> None:
    """Numbers, times and sizes have as many digits as one reads."""
    assert shown == expected
