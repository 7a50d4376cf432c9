"""Files that are missing, short or broken in the middle: what is lost is skipped and said exactly, or fails the job."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework import ConfigurationError, InputError
from evproc.framework.cli.main import app
from evproc.modules.sound_reading import _joined

from .jobs import START, damage, damage_rntuple, run

Write = Callable[..., str]
SIZES = pytest.mark.parametrize("chunk", [1, 7, 1000, "auto"])


def shorten(path: str) -> None:
    """Cut a file in the middle."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


@SIZES
def test_files_that_cannot_be_opened_are_skipped_and_told(write_events: Write, tmp_path: Path, chunk: Any) -> None:
    """A missing file, one that was cut short and one that is no ROOT file cost their events and no others."""
    files = [write_events(f"{n}.root", 100, first=100 * n) for n in range(5)]
    Path(files[0]).unlink()
    shorten(files[2])
    Path(files[3]).write_text("not ROOT at all, but some text of more than twenty bytes")
    collect, report = run(files=files, skip_bad_files=True, chunk=chunk)
    assert collect.numbers == [*range(100, 200), *range(400, 500)]
    assert [(lost.file, lost.first, lost.last, lost.events) for lost in report.input.lost] == [
        (files[n], None, None, None) for n in (0, 2, 3)
    ]
    reasons = [lost.reason for lost in report.input.lost]
    assert reasons[0].startswith(f"there is no file '{files[0]}'")
    assert "is truncated: it should have" in reasons[1]
    assert "is not a ROOT file" in reasons[2]


def test_without_skip_bad_files_the_job_fails_before_the_first_event(write_events: Write) -> None:
    """A broken file is a fault, and all are broken is an error in any case."""
    files = [write_events(f"{n}.root", 100, first=100 * n) for n in range(2)]
    shorten(files[1])
    with pytest.raises(ConfigurationError, match=r"1\.root' is truncated"):
        run(files=files)
    shorten(files[0])
    with pytest.raises(
        ConfigurationError, match=r"none of the first 2 files can be read; the first: .*0\.root' is trunc"
    ):
        run(files=files, skip_bad_files=True)


@SIZES
@pytest.mark.parametrize("max_events", [-1, 640])
def test_a_broken_basket_costs_its_entries_and_no_others(write_events: Write, chunk: Any, max_events: int) -> None:
    """Entries of broken baskets, of any branch that is read, are lost; those around them come once, in their order."""
    one, two = write_events("one.root", 500), write_events("two.root", 500, first=500)
    damage(one, "Jet_pt", 2)
    damage(one, "MET_pt", 3)
    damage(one, "flag", 0)  # is not read
    damage(two, "Jet_pt", 4)
    products = ("MET_pt", "Jet_pt")
    collect, report = run(products, files=[one, two], skip_bad_files=True, chunk=chunk, max_events=max_events)
    wanted = [*range(200), *range(400, 900)][: max_events if max_events > 0 else None]
    assert collect.numbers == wanted
    assert [values[0] for values in collect.values] == [0.5 * n for n in wanted]
    lost = [(entries.file, entries.first, entries.last, entries.events) for entries in report.input.lost]
    assert lost[:2] == [(one, 200, 299, 100), (one, 300, 399, 100)]
    assert lost[2:] == ([(two, 400, 499, 100)] if max_events < 0 else [])
    assert "branch 'Jet_pt', entries 200 to 299, cannot be read" in report.input.lost[0].reason
    assert "branch 'MET_pt', entries 300 to 399, cannot be read" in report.input.lost[1].reason
    assert report.input.events == report.events == len(wanted)


@SIZES
def test_a_broken_cluster_of_an_rntuple_costs_its_entries_and_no_others(write_events: Write, chunk: Any) -> None:
    """Clusters before a broken one are read to their end, although the library would look into the next."""
    path = write_events("one.root", 500, kind="rntuple")
    damage_rntuple(path, "MET_pt", 2)
    damage_rntuple(path, "Jet_pt", 4)
    collect, report = run(("MET_pt", "Jet_pt"), files=path, skip_bad_files=True, chunk=chunk)
    wanted = [*range(200), *range(300, 400)]
    assert collect.numbers == wanted
    assert [(values[0], len(values[1])) for values in collect.values] == [(0.5 * n, n * 7 % 5) for n in wanted]
    assert [(lost.first, lost.last, lost.events) for lost in report.input.lost] == [(200, 299, 100), (400, 499, 100)]


@SIZES
def test_what_is_lost_under_a_mask(write_events: Write, chunk: Any) -> None:
    """Only events that would have been processed count as lost; baskets without any are not even looked at."""
    path = write_events("one.root", 500)
    damage(path, "MET_pt", 1)
    damage(path, "MET_pt", 3)
    only = [f"1:4:{START + 150}-1:4:{START + 160}", f"1:5:{START + 200}-1:5:{START + 240}"]
    collect, report = run(files=path, skip_bad_files=True, chunk=chunk, only=only)
    assert collect.numbers == list(range(200, 241))
    (lost,) = report.input.lost
    assert (lost.first, lost.last, lost.events) == (150, 160, 11)
    assert report.input.left_out == {"only": 500 - 11 - 41}


@SIZES
def test_entries_without_a_readable_identity_are_lost(write_events: Write, chunk: Any) -> None:
    """Where identities are needed and cannot be read, it is not known whether the events were wanted."""
    path = write_events("one.root", 500)
    damage(path, "event", 1)
    collect, report = run(files=path, skip_bad_files=True, chunk=chunk, only="1:1-1:8")
    assert collect.numbers == [*range(100), *range(200, 400)]
    (lost,) = report.input.lost
    assert (lost.first, lost.last, lost.events) == (100, 199, None)


def test_an_event_that_was_lost_is_taken_from_where_it_comes_again(write_events: Write) -> None:
    """A duplicate of an event that could not be read is no duplicate."""
    one, two = write_events("one.root", 300), write_events("two.root", 300)
    damage(one, "MET_pt", 1)
    collect, report = run(files=[one, two], skip_bad_files=True, duplicates="job", on_duplicate="skip")
    assert collect.numbers == [*range(100), *range(200, 300), *range(100, 200)]
    assert report.input.left_out == {"duplicate": 200}


@pytest.mark.parametrize("skip", [True, False])
def test_a_broken_basket_without_skip_bad_files_fails_the_job(write_events: Write, skip: bool) -> None:
    """The default is an error that names file, branch and entries."""
    path = write_events("one.root", 500)
    damage(path, "MET_pt", 2)
    if skip:
        assert len(run(files=path, skip_bad_files=True)[0].numbers) == 400
        return
    with pytest.raises(InputError, match=r"one\.root, tree 'Events': branch 'MET_pt', entries .* cannot be read"):
        run(files=path)


def test_broken_pieces_of_several_branches_are_joined_without_overlap() -> None:
    """An entry that is broken in two branches is lost once, for the reason of the first."""
    broken: list[tuple[int, int, str]] = []
    for new in ((10, 20, "a"), (30, 40, "a"), (5, 35, "b"), (12, 18, "c"), (50, 60, "c"), (0, 70, "d")):
        broken = _joined(broken, new)
    assert broken == [
        (0, 5, "d"), (5, 10, "b"), (10, 20, "a"), (20, 30, "b"), (30, 40, "a"), (40, 50, "d"), (50, 60, "c"), (60, 70, "d"),
    ]  # fmt: skip


@pytest.mark.parametrize("chunk", [3, "auto"])
def test_a_real_ntuple_with_a_broken_basket(real_file: Callable[[str], str], tmp_path: Path, chunk: Any) -> None:
    """CMS NanoAOD with particle-flow candidates: a broken basket costs its events, and only where its branch is read."""
    path = tmp_path / "broken.root"
    shutil.copy(real_file("pfnano.root"), path)
    assert damage(path, "PFCands_pt", 1) == (4, 7)
    good, report = run(("Jet_pt",), files=str(path), skip_bad_files=True, chunk=chunk)
    assert (len(good.ids), report.input.lost) == (10, [])
    bad, report = run(("Jet_pt", "PFCands_pt"), files=str(path), skip_bad_files=True, chunk=chunk)
    assert [values[0] for values in bad.values] == [good.values[n][0] for n in (0, 1, 2, 3, 8, 9)]
    (lost,) = report.input.lost
    assert (lost.first, lost.last, lost.events) == (4, 7, 4)


def test_who_runs_the_job_sees_that_input_was_lost(
    write_events: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends well, and says at the top of its summary that input was lost; without a summary it warns."""
    monkeypatch.chdir(tmp_path)
    write_events("good.root", 10)
    Path("lossy.py").write_text(
        "from evproc.framework import Process\nfrom evproc.modules import NtupleSource\n"
        'process = Process("LOSSY")\n'
        'process.source = NtupleSource(files=["good.root", "none.root"], skip_bad_files=True)\n'
    )
    said = "Some of the input could not be read and is lost: an unknown number in 1 file"
    loud = CliRunner().invoke(app, ["run", "lossy.py"])
    assert (loud.exit_code, loud.stdout.splitlines()[1]) == (0, f"{said}; the files are listed below.")
    quiet = CliRunner().invoke(app, ["run", "lossy.py", "-q"])
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", f"warning: {said}\n")
