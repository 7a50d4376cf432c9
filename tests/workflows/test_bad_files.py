"""Files that cannot be read, and outputs that cannot be written: what the command says of them, and what it leaves."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evproc.modules import ntuple_source
from tests.workflows.conftest import (
    FAULTY,
    WORKFLOWS,
    Done,
    files_below,
    jets,
    muons,
    open_root,
    score_server,
    write_root,
)

DIMUON = WORKFLOWS / "dimuon.py"
SCORES = FAULTY / "scores.py"
Fails = Callable[..., str]


@pytest.fixture(autouse=True)
def samples(folder: Path) -> None:
    """An ntuple with muons, and the folder that the workflows write to."""
    (folder / "output").mkdir()
    write_root("muons.root", muons(300))


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_missing_file(fails: Fails, command: str) -> None:
    """A file that is not there is a fault of the source, with the nearest name."""
    said = fails(2, command, DIMUON, "-o", "source.files=muon.root")
    assert "1 fault in the configuration" in said
    assert "source: there is no file 'muon.root'; did you mean 'muons.root'?  [dimuon.py:" in said


def test_one_missing_file_among_several(fails: Fails) -> None:
    """The missing file is named, though the first is sound."""
    assert "there is no file 'more.root'" in fails(2, "run", DIMUON, "-o", "source.files=[muons.root, more.root]")


def test_a_pattern_that_matches_nothing(fails: Fails) -> None:
    """A glob without files is a fault, not a job of zero events."""
    assert "source: no file matches 'run*.root'" in fails(2, "run", DIMUON, "-o", "source.files=run*.root")


def test_a_file_that_is_not_root(fails: Fails) -> None:
    """Text under the name of a ROOT file is told by its first bytes."""
    Path("text.root").write_text("run,event,pt\n")
    said = fails(2, "run", DIMUON, "-o", "source.files=text.root")
    assert "source: file 'text.root' is not a ROOT file: it begins with b'run,', not with b'root'" in said


def test_an_empty_file(fails: Fails) -> None:
    """A file of no bytes says so."""
    Path("empty.root").touch()
    assert "file 'empty.root' is not a ROOT file: it is empty" in fails(
        2, "run", DIMUON, "-o", "source.files=empty.root"
    )


@pytest.mark.parametrize("part", [0.001, 0.3, 0.99])
def test_a_truncated_file(fails: Fails, part: float) -> None:
    """A copy that was cut short is known before the first event, with both sizes where the header is whole."""
    whole = Path("muons.root").read_bytes()
    Path("short.root").write_bytes(whole[: int(part * len(whole))])
    said = fails(2, "run", DIMUON, "-o", "source.files=[muons.root, short.root]")
    assert "source: file 'short.root' is truncated" in said
    if part > 0.1:
        assert f"it should have {len(whole)} bytes, and has {int(part * len(whole))}" in said


def test_damage_in_the_middle(fails: Fails) -> None:
    """Damaged data inside a sound file end the job with file, branch and entries; the events before leave no output."""
    write_root("damaged.root", muons(1000), basket=250)
    with open_root("damaged.root") as file:
        branch = file["Events"]["Muon_phi"]
        seek, length = int(branch.member("fBasketSeek")[2]), int(branch.member("fBasketBytes")[2])
    with Path("damaged.root").open("r+b") as raw:
        raw.seek(seek + 80)
        raw.write(b"\xff" * (length - 80))
    said = fails(3, "run", DIMUON, "-o", "source.files=damaged.root", "-o", "source.chunk=100")
    assert "damaged.root, tree 'Events': branch 'Muon_phi', entries" in said


def test_a_missing_tree(fails: Fails) -> None:
    """The nearest tree, and which trees there are."""
    said = fails(2, "run", DIMUON, "-o", "source.files=muons.root", "-o", "source.tree=events")
    assert "source: muons.root: there is no tree 'events'; did you mean 'Events'? (it has 'Events')" in said


def test_missing_branches(fails: Fails) -> None:
    """Every module that reads what is not there is named, with the file and what is near."""
    said = fails(
        2,
        "run",
        DIMUON,
        "-o",
        "source.files=muons.root",
        "-o",
        "two_muons.of=Muonn",
        "-o",
        "mass.coordinates=cartesian",
    )
    assert "two_muons: reads 'Muonn', which nothing makes and muons.root, tree 'Events' does not hold" in said
    assert "did you mean 'Muon'" in said
    assert said.count("mass: collection 'Muon' has no field 'P") == 3
    assert "mass: collection 'Muon' has no field 'Charge'; did you mean 'charge'?" in said


def test_a_branch_that_cannot_be_interpreted(fails: Fails, real_file: Callable[[str], str]) -> None:
    """C++ objects that uproot cannot take apart: the module that reads them, the branch and the reason."""
    said = fails(2, "run", FAULTY / "unreadable.py", "-o", f"source.files={real_file('pfnano.root')}")
    assert "history: reads 'ProcessHistory', which cannot be read: " in said


def test_branches_that_change_between_files(fails: Fails) -> None:
    """A branch of another type, or gone, in a later file: both files are named, before the first event."""
    other = muons(50)
    write_root("other.root", other | {"Muon_pt": other["Muon_pt"] * 1.0e0 + 0 * other["Muon_charge"]})
    write_root("less.root", {key: value for key, value in other.items() if key != "Muon_eta"})
    said = fails(2, "run", DIMUON, "-o", "source.files=[muons.root, other.root, less.root]")
    assert (
        "mass: reads 'Muon_pt', which cannot be read: it is var * float32 in muons.root, tree 'Events', "
        "but var * float64 in other.root" in said
    )
    assert "mass: reads 'Muon_eta', which cannot be read: it is missing in less.root" in said


def test_branches_that_change_in_a_file_that_was_not_looked_at(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many files to open first, the change ends the job when it comes, and leaves no output."""
    monkeypatch.setattr(ntuple_source, "CATALOG_FILES", 1)
    write_root("less.root", {key: value for key, value in muons(50).items() if key != "Muon_eta"})
    said = fails(3, "run", DIMUON, "-o", "source.files=[muons.root, less.root]")
    assert "branch 'Muon_eta' changes between files: it is missing in less.root" in said


def test_zero_events(evproc: Callable[..., Done], folder: Path) -> None:
    """No events are no fault: an output with all branches and no entries, and a warning."""
    write_root("none.root", muons(0))
    done = evproc("run", DIMUON, "-o", "source.files=none.root")
    assert done.code == 0, done
    assert "0 events were written" in done.out
    with open_root("output/dimuon.root") as file:
        tree = file["Events"]
        assert tree.num_entries == 0
        assert {"run", "luminosityBlock", "event", "Muon_pt", "Muon_charge", "mass"} <= set(tree.keys())
    assert Path("output/dimuon.png").read_bytes().startswith(b"\x89PNG")


def test_zero_events_with_inference(evproc: Callable[..., Done], folder: Path) -> None:
    """With no events nothing is sent, and the output is whole."""
    write_root("none.root", jets(0))
    with score_server() as server:
        done = evproc("run", SCORES, "-o", f"inference.servers=[{server.url}]", "-o", "source.files=none.root")
        assert done.code == 0, done
        assert server.requests == []
    with open_root("scores.root") as file:
        assert file["Events"].num_entries == 0


def test_all_files_without_events_but_one(evproc: Callable[..., Done]) -> None:
    """Files without events, first, between and last, change nothing."""
    write_root("none.root", muons(0))
    for files in ("[muons.root]", "[none.root, muons.root, none.root]"):
        assert evproc("run", DIMUON, "-o", f"source.files={files}").code == 0
        Path("output/dimuon.root").rename(f"{len(files)}.root")
    with open_root("12.root") as one, open_root("34.root") as other:
        assert one["Events"]["event"].array().to_list() == other["Events"]["event"].array().to_list()
        assert one["Events"].num_entries > 50


# Outputs.


def test_an_output_that_exists(fails: Fails) -> None:
    """Without overwrite an older file is a fault, and stays."""
    Path("old.root").write_text("precious")
    said = fails(2, "run", DIMUON, "-o", "source.files=muons.root", "-o", "out.file=old.root", "-o", "out.overwrite=no")
    assert "out.file: 'old.root' exists; set overwrite to replace it" in said


@pytest.mark.parametrize("file", ["muons.root/out.root", "muons.root/deep/out.root", "output"])
def test_outputs_that_cannot_be(fails: Fails, file: str) -> None:
    """A file in place of a folder, and a folder in place of the file: faults before the first event."""
    said = fails(2, "run", DIMUON, "-o", "source.files=muons.root", "-o", f"out.file={file}", "-o", "out.format=ttree")
    assert "out.file: " in said
    assert file in said
    assert f"[-o out.file={file}]" in said


def test_an_output_without_a_format(fails: Fails) -> None:
    """A suffix that says nothing is a fault that says what to write."""
    said = fails(2, "run", DIMUON, "-o", "source.files=muons.root", "-o", "out.file=muons.h5")
    assert "out.file: 'muons.h5' does not say its format" in said
    assert ".parquet" in said


def test_an_output_over_its_input(fails: Fails) -> None:
    """A job does not write over the file that it reads."""
    said = fails(2, "run", DIMUON, "-o", "source.files=muons.root", "-o", "out.file=output/../muons.root")
    assert "is also an input file" in said


def test_a_picture_that_cannot_be_drawn(fails: Fails) -> None:
    """A picture that cannot be made is a fault too, beside that of the ntuple, and no folder is made for either."""
    settings = ["histogram.plot=muons.root/b.png", "out.file=new/muons.root", "paired.above=many"]
    said = fails(
        *(2, "run", DIMUON, "-o", "source.files=muons.root"),
        *(word for setting in settings for word in ("-o", setting)),
    )
    assert "histogram.plot: " in said
    assert "muons.root' is a file" in said
    assert "paired.above: " in said
    assert not Path("new").exists()


def test_a_first_job_makes_its_folders(evproc: Callable[..., Done], folder: Path) -> None:
    """A workflow runs in an empty folder: those that it writes to are made."""
    Path("output").rmdir()
    done = evproc("run", DIMUON, "-o", "source.files=muons.root", "-o", "out.file=a/b/c.root")
    assert done.code == 0, done
    assert Path("output/dimuon.png").is_file()
    assert Path("a/b/c.root").is_file()


def test_a_disk_that_is_full(start: Callable[..., subprocess.Popen[str]], folder: Path) -> None:
    """When the file may not grow any more the job ends with exit code 4 and leaves nothing but what there was."""
    write_root("large.root", muons(40_000))
    Path("output/dimuon.root").write_text("precious")
    before = files_below(folder)
    job = start(
        *("run", DIMUON, "-o", "source.files=large.root", "-o", "out.buffer_events=1000"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    _, said = job.communicate(timeout=60)
    assert job.returncode == 4, said
    assert "out: 'output/dimuon.root' cannot be written: the file would be larger than this process may write" in said
    assert "Traceback" not in said
    assert files_below(folder) == before
