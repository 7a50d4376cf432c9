"""The picture of the schedule is what its script draws."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_picture_of_the_schedule_is_up_to_date() -> None:
    """docs/schedule.svg is well-formed, and shows the schedule as it is compiled at present."""
    script = runpy.run_path(str(DOCS / "schedule_picture.py"))
    drawn = script["drawn"](script["picture_process"]())
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert (DOCS / "schedule.svg").read_text(encoding="utf-8") == drawn
