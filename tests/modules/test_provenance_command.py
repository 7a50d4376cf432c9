"""`evproc provenance`: what a file says of where it comes from, and the job made again from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.loading import load
from evproc.modules.provenance_command import read_provenance
from tests.root_files import open_root

WORKFLOW = """
from evproc.framework import EndPath, Path, Process
from evproc.modules import NtupleOutput, NtupleSource, RangeFilter

process = Process("SKIM")
process.source = NtupleSource(files=["a.root", "b.root"])
process.cut = RangeFilter(of="x", above=1.5)
process.out = NtupleOutput(file="{file}", format="{form}", keep=["x"], select=["skim"])
process.skim = Path(process.cut)
process.end = EndPath(process.out)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two input files, of 5 and 3 events."""
    monkeypatch.chdir(tmp_path)
    for name, first, count in (("a.root", 0, 5), ("b.root", 5, 3)):
        with uproot.recreate(tmp_path / name) as file:
            file["Events"] = {"x": np.arange(first, first + count, dtype="f4")}
    return tmp_path


def evproc(*arguments: str, code: int = 0) -> str:
    """What the command prints."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def made(form: str, file: str) -> None:
    """Run the workflow."""
    Path("skim.py").write_text(WORKFLOW.format(file=file, form=form))
    evproc("run", "-q", "skim.py")


FORMS = [("ttree", "out.root"), ("rntuple", "out.root"), ("parquet", "out.parquet")]


@pytest.mark.parametrize(("form", "file"), FORMS)
def test_a_file_tells_and_is_made_again(form: str, file: str) -> None:
    """Files in and their entries, versions, hash; the configuration in it makes the same file, which says the same."""
    made(form, file)
    found = json.loads(evproc("provenance", file, "--json"))
    assert found["input"]["files"] == [
        {"file": "a.root", "entries": 5, "events": 5},
        {"file": "b.root", "entries": 3, "events": 3},
    ]
    assert (found["process"], found["events"]) == ("SKIM", 8)
    screen = evproc("provenance", file)
    assert all(text in screen for text in ("SKIM", "a.root", "b.root", found["configuration"], "uproot"))
    before = ak.to_list(values(form, file))
    assert before == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    evproc("provenance", file, "--config", "again.yaml")
    Path("skim.py").unlink()
    Path(file).unlink()
    evproc("run", "-q", "again.yaml")
    assert ak.to_list(values(form, file)) == before
    assert json.loads(evproc("provenance", file, "--json")) == found
    assert load(Path("again.yaml")).name == "SKIM"


def values(form: str, file: str) -> ak.Array:
    """The events of a file."""
    if form == "parquet":
        return ak.from_parquet(file)["x"]
    with open_root(file) as opened:
        return opened["Events"]["x"].array()


def test_events_that_were_not_processed_do_not_count() -> None:
    """A job that ends early says which of its input it has processed."""
    Path("skim.py").write_text(WORKFLOW.format(file="out.root", form="ttree"))
    evproc("run", "-q", "skim.py", "-o", "source.max_events=6")
    assert read_provenance("out.root")["input"]["files"] == [
        {"file": "a.root", "entries": 5, "events": 5},
        {"file": "b.root", "entries": 1, "events": 1},
    ]


def test_files_that_change_results_are_told_by_their_content() -> None:
    """A list of events with other content is another record, under the same hash; a range is no file."""
    Path("skim.py").write_text(WORKFLOW.format(file="out.root", form="ttree"))
    asked = ("run", "-q", "skim.py", "-o", "source.only=good.txt", "-o", "source.without=[1:1:3, bad.txt]")
    said = []
    for good in ("1:1:0-1:1:5", "1:1"):
        Path("good.txt").write_text(good)
        Path("bad.txt").write_text("1:1:2\n")
        evproc(*asked)
        said.append(read_provenance("out.root"))
    sums = [hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in ("good.txt", "bad.txt")]
    assert said[1]["files"] == {
        "source": [{"file": "good.txt", "sha256": sums[0]}, {"file": "bad.txt", "sha256": sums[1]}]
    }
    assert said[0]["files"] != said[1]["files"]
    assert said[0]["configuration"] == said[1]["configuration"]
    screen = evproc("provenance", "out.root")
    assert all(text in screen for text in ("good.txt", sums[0][:12], "2 by without"))


def test_what_was_lost_is_shown() -> None:
    """Who looks at an output of a job that has lost input sees which, also if nobody knows how much it was."""
    Path("skim.py").write_text(WORKFLOW.format(file="out.root", form="ttree"))
    Path("b.root").write_text("no ROOT file")
    evproc("run", "-q", "skim.py", "-o", "source.skip_bad_files=true")
    screen = evproc("provenance", "out.root")
    assert "an unknown number of events" in screen
    assert "b.root" in screen


def test_a_file_without_provenance() -> None:
    """A file of another program, a file that is not there, and one that is no file of this kind, each in one line."""
    assert "'a.root' does not say where its events come from" in evproc("provenance", "a.root", code=3)
    assert "'none.parquet' does not exist" in evproc("provenance", "none.parquet", code=3)
    Path("text.parquet").write_text("text")
    assert "'text.parquet' cannot be read as Parquet" in evproc("provenance", "text.parquet", code=3)


def test_a_configuration_that_is_not_in_the_file() -> None:
    """A file that cannot make its job again says why."""
    with uproot.recreate("old.root") as file:
        file["Events"] = {"x": np.arange(3)}
        file["evproc"] = json.dumps({"process": "OLD", "not_expanded": "class Local is in a function"})
    assert "class Local is in a function" in evproc("provenance", "old.root", "--config", "c.yaml", code=3)
    assert not Path("c.yaml").exists()
