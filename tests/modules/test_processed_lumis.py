"""Luminosity blocks that were processed completely, also when the job ends early or something is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from evproc.framework import Analyzer, ConfigurationError, EndPath, ExceptionPolicy, ModuleError
from evproc.modules import NtupleOutput

from .jobs import START, Collect, damage, job, run

Write = Callable[..., str]
SIZES = pytest.mark.parametrize("chunk", [1, 7, 1000, "auto"])


def blocks(first: int, last: int) -> dict[str, list[list[int]]]:
    """The blocks of the events from `first` to `last`, which begin and end blocks."""
    found: dict[str, list[list[int]]] = {}
    for block in range(1 + first // 50, 1 + last // 50 + 1):
        ranges = found.setdefault(str(1 + (block - 1) * 50 // 500), [])
        if ranges and ranges[-1][1] == block - 1:
            ranges[-1][1] = block
        else:
            ranges.append([block, block])
    return found


@SIZES
def test_all_blocks_of_a_job_that_goes_to_the_end(write_events: Write, tmp_path: Path, chunk: Any) -> None:
    """The file holds every block with events, in the form of a certification file, which can be a mask again."""
    files = [write_events(f"{n}.root", 420, first=420 * n) for n in range(3)]
    made = tmp_path / "new" / "lumis.json"
    collect, report = run(files=files, processed_lumis=str(made), chunk=chunk)
    assert json.loads(made.read_text()) == report.input.lumis == blocks(0, 1259)
    assert report.input.incomplete_lumis == {}
    again, _ = run(files=files, lumi_mask=str(made))
    assert again.ids == collect.ids


@SIZES
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_when_an_output_ends_the_job(write_events: Write, tmp_path: Path, chunk: Any, block: int) -> None:
    """The block in which the job ended is incomplete, whatever was read ahead of it."""
    path = write_events(events=1000)
    process = job(files=path, processed_lumis="-", chunk=chunk, options={"block": block})
    process.out = NtupleOutput(file=str(tmp_path / "out.root"), keep=["MET_pt"], max_events=225)
    process.end = EndPath(process.collect, process.out)
    report = process.run()
    assert process.collect.numbers == list(range(225))
    assert (report.outputs[0].events, report.input.events) == (225, 225)
    assert report.input.lumis == {"1": [[1, 4]]}
    assert report.input.incomplete_lumis == {"1": [[5, 5]]}


@SIZES
def test_blocks_of_events_that_were_not_processed(write_events: Write, chunk: Any) -> None:
    """Events that are left out, skipped or behind `max_events` make their blocks incomplete; duplicates do not."""
    files = [write_events("one.root", 500), write_events("two.root", 500, first=400)]
    more: dict[str, Any] = {"processed_lumis": "-", "chunk": chunk, "duplicates": "job", "on_duplicate": "skip"}
    without = f"1:3:{START + 120}"
    collect, report = run(files=files, without=without, skip_events=10, max_events=770, **more)
    left = [n for n in range(900) if n != 120][10:780]
    assert collect.numbers == left
    assert report.input.left_out == {"without": 1, "skip_events": 10, "duplicate": 100}
    assert report.input.lumis == {"1": [[2, 2], [4, 10]], "2": [[11, 15]]}
    assert report.input.incomplete_lumis == {"1": [[1, 1], [3, 3]], "2": [[16, 16]]}


@SIZES
def test_blocks_of_lost_events(write_events: Write, chunk: Any) -> None:
    """A block with a lost event is incomplete; where identities are lost, so are the blocks on both sides."""
    path = write_events("one.root", 500, basket=70)
    damage(path, "MET_pt", 1)  # entries 70 to 139: blocks 2 and 3
    damage(path, "event", 4)  # entries 280 to 349: blocks 6 and 7, and block 8 begins behind
    _, report = run(files=path, skip_bad_files=True, processed_lumis="-", chunk=chunk)
    assert report.input.lumis == {"1": [[1, 1], [4, 5], [9, 10]]}
    assert report.input.incomplete_lumis == {"1": [[2, 3], [6, 6], [8, 8]]}


@SIZES
def test_blocks_without_events_count_as_processed(write_events: Write, chunk: Any) -> None:
    """Where a file lists its blocks, as NanoAOD does, those of which a skim left no event are processed with the file."""
    files = [write_events(f"{n}.root", 100, first=100 * n) for n in range(3)]
    for path, blocks in zip(files, ([1, 2, 70], [3, 4, 80], [5, 6, 90]), strict=True):
        with uproot.update(path) as file:
            kinds: dict[str, Any] = {"run": "uint32", "luminosityBlock": "uint32"}
            file.mktree("LuminosityBlocks", kinds).extend(
                {"run": np.ones(3, np.uint32), "luminosityBlock": np.array(blocks, np.uint32)}
            )
    _, report = run(files=files, processed_lumis="-", chunk=chunk)
    assert report.input.lumis == {"1": [[1, 6], [70, 70], [80, 80], [90, 90]]}
    _, report = run(files=files, processed_lumis="-", chunk=chunk, lumi_mask={"1": [[2, 80]]}, max_events=110)
    assert report.input.lumis == {"1": [[2, 3], [70, 70]]}
    assert report.input.incomplete_lumis == {"1": [[4, 4]]}


def test_blocks_of_a_real_ntuple(real_file: Callable[[str], str]) -> None:
    """CMS NanoAOD: the blocks of its events are those that its own list holds."""
    path = real_file("pfnano.root")
    _, report = run(("nJet",), files=path, processed_lumis="-")
    assert report.input.lumis == {"1": [[17359, 17359]]}


@SIZES
def test_blocks_of_failed_events(write_events: Write, tmp_path: Path, chunk: Any) -> None:
    """An event on which a module failed, and the job went on, makes its block incomplete; so does a list of events."""

    class Fails(Analyzer):
        def analyze(self, event: Any) -> None:
            if event.id.event in (START + 120, START + 333):
                raise ValueError("as told")

    made = tmp_path / "lumis.json"
    process = job(files=write_events(events=500), processed_lumis=str(made), chunk=chunk)
    process.fails = Fails()
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events=str(tmp_path / "failed.jsonl"))
    process.end = EndPath(process.collect, process.fails)
    report = process.run()
    assert json.loads(made.read_text()) == report.input.lumis == {"1": [[1, 2], [4, 6], [8, 10]]}
    assert report.input.incomplete_lumis == {"1": [[3, 3], [7, 7]]}
    again = job(files=write_events(events=500), processed_lumis="-", options={"only": str(tmp_path / "failed.jsonl")})
    report = again.run()
    assert again.collect.numbers == [120, 333]
    assert report.input.lumis == {}


def test_a_job_that_fails_writes_no_blocks(write_events: Write, tmp_path: Path) -> None:
    """The file appears only when the job has ended well."""

    class Fails(Collect):
        def analyze(self, event: Any) -> None:
            raise RuntimeError("as told")

    made = tmp_path / "lumis.json"
    process = job(files=write_events(), processed_lumis=str(made))
    process.fails = Fails()
    process.end = EndPath(process.fails)
    with pytest.raises(ModuleError, match="as told"):
        process.run()
    assert not made.exists()


def test_a_place_that_cannot_be_written_is_a_fault(write_events: Write, tmp_path: Path) -> None:
    """It is found before the first event."""
    with pytest.raises(ConfigurationError, match=r"source\.processed_lumis: .* is a directory"):
        run(files=write_events(), processed_lumis=str(tmp_path))
