"""The workflow of the page on columns: the same file for blocks of any size."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ntuple."""
    file = tmp_path_factory.mktemp("nano") / "nano.root"
    script = [sys.executable, str(ROOT / "docs" / "examples" / "toy_nanoaod.py"), str(file), "--events", "60"]
    subprocess.run(script, check=True, timeout=100, env=os.environ)
    return file


def written(nano: Path, path: Path, block: int) -> Any:
    """What the workflow writes."""
    import awkward as ak

    process = runpy.run_path(str(ROOT / "docs" / "examples" / "columns.py"))["process"]
    process.source.set(files=str(nano))
    process.out.set(file=str(path))
    process.set_options(block=block)
    process.run()
    events: Any = ak.from_parquet(path)
    return events


def test_columns_and_events_do_not_depend_on_blocks(nano: Path, tmp_path: Path) -> None:
    """Records, missing values, text and numbers go between modules of both kinds, whatever the size of blocks."""
    found = [written(nano, tmp_path / f"{block}.parquet", block) for block in (1, 7, 1000)]
    assert found[0].to_list() == found[1].to_list() == found[2].to_list()
    assert len({str(events.type) for events in found}) == 1
    assert str(found[0].type).endswith("pair: ?{pt: float64, mass: float64}, channel: string, candidate: bool}")
    for event in found[0].to_list():
        heavy = event["pair"] is not None and event["pair"]["mass"] > 60.0
        assert event["channel"].startswith("heavy") == heavy
        assert event["candidate"] == (event["channel"] == "heavy 0")
        assert (event["channel"] == "none") == (len(event["Muon_pt"]) < 2) == (event["pair"] is None)
