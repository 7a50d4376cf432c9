"""Luminosity masks, lists and ranges of events, duplicates: which events are processed, and what is said of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework import ConfigurationError, InputError
from evproc.framework.event import EventIDs
from evproc.modules.event_index import EventIndex, Hashed, repeated
from evproc.modules.event_ranges import Keys, Unfit, compact, event_ranges, keys_of, lumi_mask
from tests.root_files import open_root

from .jobs import START, job, run

Write = Callable[..., str]
SIZES = pytest.mark.parametrize("chunk", [1, 7, 1000, "auto"])
small = st.integers(0, 4)


def run_of(number: int) -> int:
    return 1 + number // 500


def block_of(number: int) -> int:
    return 1 + number // 50


@SIZES
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_a_luminosity_mask_chooses_blocks(write_events: Write, tmp_path: Path, chunk: Any, kind: str) -> None:
    """Events of blocks in the mask are processed, with their values, and the others counted."""
    path = write_events(events=1200, kind=kind)
    mask = tmp_path / "mask.json"
    mask.write_text(json.dumps({"1": [[2, 2], [4, 5]], "3": [[1, 30]], "77": [[1, 9999]]}))
    collect, report = run(("MET_pt", "Jet_pt"), files=path, lumi_mask=str(mask), chunk=chunk)
    wanted = [
        n
        for n in range(1200)
        if (run_of(n) == 1 and block_of(n) in (2, 4, 5)) or (run_of(n) == 3 and block_of(n) <= 30)
    ]
    assert collect.numbers == wanted
    assert [values[0] for values in collect.values] == [0.5 * n for n in wanted]
    assert [len(values[1]) for values in collect.values] == [n * 7 % 5 for n in wanted]
    assert report.input.left_out == {"lumi_mask": 1200 - len(wanted)}
    assert report.events == report.input.events == len(wanted)


@SIZES
def test_lists_and_ranges_choose_events(write_events: Write, tmp_path: Path, chunk: Any) -> None:
    """Events, blocks, runs and ranges of them, in the workflow or in files; `without` goes before `only`."""
    path = write_events(events=1200)
    listed = tmp_path / "events.txt"
    listed.write_text(f"# picked by hand\n1:1:{START + 3}\n\n1:2:{START + 77}  # this too\n2:12-2:13\n")
    only = [str(listed), f"3:22:{START + 1051}-3:22:{START + 1060}"]
    without = [f"2:13:{START + 600}-2:13:{START + 640}", "9"]
    collect, report = run(files=path, only=only, without=without, chunk=chunk)
    wanted = [3, 77, *range(550, 600), *range(641, 650), *range(1051, 1061)]
    assert collect.numbers == wanted
    assert report.input.left_out == {"only": 1200 - len(wanted) - 41, "without": 41}


@SIZES
def test_skip_and_max_count_only_events_that_would_be_processed(write_events: Write, chunk: Any) -> None:
    """`skip_events` and `max_events` count over files what masks leave, and what lies behind is not looked at."""
    files = [write_events(f"{n}.root", 400, first=400 * n) for n in range(3)]
    collect, report = run(files=files, only=["1:5-1:9", "2"], skip_events=60, max_events=220, chunk=chunk)
    chosen = [n for n in range(1200) if run_of(n) == 2 or 5 <= block_of(n) <= 9]
    assert collect.numbers == chosen[60:280]
    before = [n for n in range(chosen[279]) if n not in chosen]
    assert report.input.left_out == {"only": len(before), "skip_events": 60}


def test_only_pieces_with_chosen_events_are_read(write_events: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identities are read first; of the other branches, only the baskets that hold a chosen event are decompressed."""
    path = write_events(events=2000, basket=100)
    read: set[int] = set()
    with open_root(path) as file:
        tree = file["Events"]
        seeks = {int(at): number for number, at in enumerate(tree["Jet_pt"].member("fBasketSeek")[:20])}
    sources: Any = uproot.MultithreadedFileSource
    chunks = sources.chunks

    def spy_chunks(self: Any, ranges: Any, *rest: Any, **more: Any) -> Any:
        read.update(seeks[int(start)] for start, _ in ranges if int(start) in seeks)
        return chunks(self, ranges, *rest, **more)

    monkeypatch.setattr(sources, "chunks", spy_chunks)
    collect, _ = run(("Jet_pt",), files=path, only=[f"1:7:{START + 305}", f"4:32:{START + 1590}-4:33:{START + 1610}"])
    assert collect.numbers == [305, *range(1590, 1611)]
    assert read == {3, 15, 16}


def test_few_events_of_many_pieces_come_in_one_chunk(write_events: Write) -> None:
    """What is taken out of several baskets is put together, so that a sparse list does not make blocks of one event."""
    path = write_events(events=2000, basket=100)
    process = job(files=path, only=[f"{run_of(n)}:{block_of(n)}:{START + n}" for n in range(0, 2000, 200)])
    (chunk,) = list(process.source.chunks(frozenset({"MET_pt"})))
    assert (chunk.ids.event - START).tolist() == list(range(0, 2000, 200))
    assert chunk.where.endswith("tree 'Events', 10 of the entries 0 to 1800")


def test_masks_that_cannot_be_used_are_faults_with_all_that_is_wrong(write_events: Write, tmp_path: Path) -> None:
    """Bad JSON, runs, ranges, lines and files are told together, before the first event, with place and nearest name."""
    (tmp_path / "golden.json").write_text('{"1": [[1, 2], [5, 4], ["a", 3]], "x": []}')
    (tmp_path / "list.txt").write_text("1:2:3\nnonsense\n5:1-4:1\n")
    only = [str(tmp_path / "list.txt"), str(tmp_path / "lists.txt"), "1:2:3:4"]
    process = job(files=write_events(), lumi_mask=str(tmp_path / "golden.json"), only=only)
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    faults = [str(fault) for fault in caught.value.faults]
    for text in (
        "source.lumi_mask: ",
        "run 1: [5, 4] is no range [first, last] of luminosity blocks",
        "run 1: ['a', 3] is no range",
        "'x' is no run number",
        "line 2: 'nonsense' is neither run, run:block, run:block:event, nor a range",
        "line 3: '5:1-4:1': the range ends before it begins",
        "lists.txt'; did you mean 'list.txt'?",
        "there is no list of events '1:2:3:4'",
    ):
        assert any(text in fault for fault in faults), (text, faults)
    process.source.set(lumi_mask=str(tmp_path / "golden"), only=[])
    with pytest.raises(
        ConfigurationError, match=r"there is no luminosity mask '.*golden'; did you mean 'golden\.json'"
    ):
        process.run()


def test_a_mask_needs_an_identity(write_events: Write) -> None:
    """Trees without runs and blocks cannot be masked, nor looked through for duplicates; the parameter is named."""
    path = write_events(identity=False)
    process = job(files=path, lumi_mask={"1": [[1, 1]]}, duplicates="job", processed_lumis="-")
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    assert [fault.key for fault in caught.value.faults] == ["lumi_mask", "processed_lumis", "duplicates"]
    assert "has no branch for run and luminosity_block; name it with" in str(caught.value)


@given(
    st.lists(st.tuples(st.tuples(small, small, small), st.tuples(small, small, small)), max_size=8),
    st.lists(st.tuples(small, small, small), max_size=30),
)
def test_ranges_hold_what_lies_between_their_ends(ranges: list[Any], events: list[tuple[int, int, int]]) -> None:
    """An event is in a set if it lies in one of its ranges in the order run, block, event; overlaps do no harm."""
    sound = [(first, last) for first, last in ranges if first <= last]
    chosen = event_ranges([f"{a}:{b}:{c}-{d}:{e}:{f}" for (a, b, c), (d, e, f) in sound])
    ids = EventIDs(*(np.array([event[part] for event in events], np.int64) for part in range(3)))
    found = chosen.contains(keys_of(ids, "here")).tolist()
    assert found == [any(first <= event <= last for first, last in sound) for event in events]


def test_identities_beyond_their_range_are_an_error() -> None:
    """Negative numbers, and runs beyond 32 bits, cannot be told apart and are named."""
    one = np.array([1])
    with pytest.raises(InputError, match="here: event -1 is no event number"):
        keys_of(EventIDs(one, one, np.array([-1])), "here")
    with pytest.raises(InputError, match="here: run 4294967296 is no run number"):
        keys_of(EventIDs(np.array([1 << 32]), one, one), "here")


def test_the_form_of_certification_files() -> None:
    """Blocks in any order become ranges per run, and ranges become the same blocks."""
    blocks = [(1, 3), (1, 1), (1, 2), (7, 9), (1, 5)]
    places = np.array([run << 32 | block for run, block in blocks], np.uint64)
    assert compact(places) == {"1": [[1, 3], [5, 5]], "7": [[9, 9]]}
    mask = lumi_mask(compact(places))
    every = list(product((1, 7), range(12)))
    keys = Keys(np.array([run << 32 | block for run, block in every], np.uint64), np.zeros(len(every), np.uint64))
    assert [pair for pair, inside in zip(every, mask.contains(keys), strict=True) if inside] == sorted(blocks)
    chosen = {run << 32 | block for run, block in blocks}
    mixed = np.random.default_rng(3).permutation(np.repeat(keys.place, 3))  # in no order
    inside = mask.contains(Keys(mixed, np.arange(len(mixed), dtype=np.uint64)))
    assert inside.tolist() == [place in chosen for place in mixed.tolist()]
    with pytest.raises(Unfit, match="not list"):
        lumi_mask([1])  # type: ignore[arg-type]  # on purpose


# Duplicates


@SIZES
def test_an_event_that_comes_twice_is_an_error_that_names_both_places(write_events: Write, chunk: Any) -> None:
    """By default, the job fails with file, entry and identity of the second, and file and entry of the first."""
    one, two = write_events("one.root", 300), write_events("two.root", 300, first=250)
    with pytest.raises(InputError) as caught:
        run(files=[one, two], duplicates="job", chunk=chunk)
    text = str(caught.value)
    assert f"{two}, tree 'Events', entry 0: run 1, luminosity block 6, event {START + 250} has come before" in text
    assert f"in {one}, tree 'Events', entry 250; so have 49 more events" in text


@SIZES
def test_duplicates_can_be_skipped(write_events: Write, chunk: Any) -> None:
    """Each event is processed once, the first time; the others are listed with file and entries."""
    one, two = write_events("one.root", 300), write_events("two.root", 300, first=250)
    collect, report = run(files=[one, two, one], duplicates="job", on_duplicate="skip", chunk=chunk, max_events=540)
    assert collect.numbers == list(range(540))
    assert report.input.left_out == {"duplicate": 50}
    (found,) = report.input.duplicates
    assert (found.file, found.first, found.last, found.events) == (two, 0, 49, 50)
    collect, report = run(files=[one, two, one], duplicates="job", on_duplicate="skip", chunk=chunk)
    assert collect.numbers == list(range(550))
    assert [(entries.file, entries.first, entries.last) for entries in report.input.duplicates] == [
        (two, 0, 49),
        (one, 0, 299),
    ]


def test_duplicates_within_files_only(write_events: Write) -> None:
    """`file` does not mind an event that is in two files; off, nothing is looked at."""
    one, two = write_events("one.root", 300), write_events("two.root", 300, first=250)
    for mode in ("file", "off"):
        collect, report = run(files=[one, two], duplicates=mode)
        assert collect.numbers == [*range(300), *range(250, 550)]
        assert report.input.left_out == {}
    numbers = np.arange(300, dtype=np.uint64)
    numbers[200] = 17
    same = {"event": numbers, "run": np.ones(300, np.uint32), "luminosityBlock": np.ones(300, np.uint32)}
    twice = write_events("twice.root", 300, extra=same)
    with pytest.raises(InputError, match=r"entry 200: run 1, luminosity block 1, event 17 .*twice\.root.*, entry 17;"):
        run(files=[one, twice], duplicates="file")


def test_events_that_a_mask_leaves_out_are_no_duplicates(write_events: Write) -> None:
    """Only events that would be processed are held against each other."""
    path = write_events("one.root", 300)
    collect, _ = run(files=[path, path], duplicates="job", only=f"1:1:{START + 4}", max_events=1)
    assert collect.numbers == [4]
    with pytest.raises(InputError, match=r"entry 4: .* has come before"):
        run(files=[path, path], duplicates="job", only=f"1:1:{START + 4}")


@given(st.lists(st.lists(st.tuples(small, small, small), max_size=12), max_size=8), st.booleans())
def test_the_index_knows_exactly_what_was_added(batches: list[list[tuple[int, int, int]]], forget: bool) -> None:
    """Whatever the order of adding and the sizes of batches, the index answers like a dict, and forgets one by one."""
    index = EventIndex(values=True)
    known: dict[tuple[int, int, int], int] = {}
    number = 0
    for batch in batches:
        ids = EventIDs(*(np.array([event[part] for event in batch], np.int64) for part in range(3)))
        hashed = index.hashed(keys_of(ids, "here"))
        assert index.find(hashed).tolist() == [known.get(event, -1) for event in batch]
        again = repeated(hashed)
        assert again.tolist() == [event in batch[:at] for at, event in enumerate(batch)]
        new = ~again & (index.find(hashed) < 0)
        values = np.arange(number, number + len(batch))
        number += len(batch)
        known.update({event: int(value) for event, value, is_new in zip(batch, values, new, strict=True) if is_new})
        index.add(Hashed(hashed.mixed[new], hashed.group[new]), values[new])
        assert len(index) == len(known)
        if forget and batch:
            del known[batch[0]]
            index.forget(Hashed(hashed.mixed[:1], hashed.group[:1]))
            assert len(index) == len(known)


def test_equal_mixed_numbers_are_not_taken_for_equal_events() -> None:
    """Where the mixed numbers of events of different blocks agree, the block decides."""
    index = EventIndex(values=True)
    mixed = np.full(3, 5, np.uint64)
    index.add(Hashed(mixed, np.array([1, 2, 3], np.uint32)), np.array([10, 20, 30]))
    asked = Hashed(np.full(4, 5, np.uint64), np.array([3, 4, 1, 2], np.uint32))
    assert index.find(asked).tolist() == [30, -1, 10, 20]


def test_the_index_is_small() -> None:
    """12 bytes an event."""
    index = EventIndex()
    for first in range(0, 200_000, 20_000):
        event = np.arange(first, first + 20_000, dtype=np.uint64)
        index.add(index.hashed(Keys(event // np.uint64(100), event)))
    assert index.nbytes == 12 * 200_000


def test_a_real_ntuple_through_a_mask(real_file: Callable[[str], str]) -> None:
    """CMS NanoAOD: a mask of some of its blocks, and events picked by number, are what NumPy picks."""
    path = real_file("nanoAOD_2015_CMS_Open_Data_ttbar.root")
    with open_root(path) as file:
        arrays = file["Events"].arrays(["luminosityBlock", "event", "nJet"], library="np")
    blocks = np.unique(arrays["luminosityBlock"])[::2].tolist()
    inside = np.isin(arrays["luminosityBlock"], blocks)
    assert 0 < inside.sum() < len(inside) or len(blocks) == 1
    for chunk in (1, 7, "auto"):
        collect, _ = run(("nJet",), files=path, lumi_mask={"1": [[block, block] for block in blocks]}, chunk=chunk)
        assert [event for _, _, event in collect.ids] == arrays["event"][inside].tolist()
        assert [values[0] for values in collect.values] == arrays["nJet"][inside].tolist()
    picked = [f"1:{arrays['luminosityBlock'][n]}:{arrays['event'][n]}" for n in (7, 50, 199)]
    collect, _ = run(("nJet",), files=path, only=picked)
    assert [event for _, _, event in collect.ids] == arrays["event"][[7, 50, 199]].tolist()
