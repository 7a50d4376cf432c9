"""What `NtupleSource` reads, and what it says of bad input."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from evproc.framework import Chunk, ConfigurationError, EventID, InputError
from evproc.framework.column_making import concatenate
from evproc.framework.columns import Column, Flat, Jagged, Nested
from evproc.modules import NtupleSource
from evproc.modules import ntuple_source as source_module
from tests.root_files import open_root

from .conftest import new_root

Write = Callable[..., str]
Find = Callable[[str], str]
KINDS = pytest.mark.parametrize("kind", ["ttree", "rntuple"])


def read(source: NtupleSource, *keys: str) -> tuple[dict[str, Column], list[EventID], list[Chunk]]:
    """All that a source yields: columns, identities, chunks."""
    chunks = list(source.chunks(frozenset(keys)))
    columns = {key: concatenate([chunk.columns[key] for chunk in chunks]) for key in keys} if chunks else {}
    ids = [chunk.ids[number] for chunk in chunks for number in range(len(chunk))]
    return columns, ids, chunks


def listed(column: Column) -> Any:
    array: Any = column.array()
    return array.tolist()


@KINDS
@pytest.mark.parametrize("chunk", ["auto", 1, 7, 100, 130, 1000, 5000])
def test_chunks_do_not_change_what_is_read(write_events: Write, kind: str, chunk: Any) -> None:
    """Values and identities are the same for every size of chunk."""
    path = write_events(events=400, kind=kind)
    keys = ("Jet_pt", "Jet_eta", "MET_pt", "flag")
    columns, ids, chunks = read(NtupleSource(files=path, chunk=chunk), *keys)
    with open_root(path) as file:
        plain = file["Events"].arrays([*keys, "run", "luminosityBlock", "event"])
    for key in keys:
        assert listed(columns[key]) == plain[key].tolist()
    assert ids == list(zip(*(plain[key].tolist() for key in ("run", "luminosityBlock", "event")), strict=True))
    if isinstance(chunk, int):
        assert {len(piece) for piece in chunks[:-1]} <= {chunk}


@KINDS
def test_only_the_named_products_come(write_events: Write, kind: str) -> None:
    """A chunk holds the named products, in native byte order, and nothing else."""
    _, _, chunks = read(NtupleSource(files=write_events(kind=kind), chunk=300), "Jet_pt", "run")
    for chunk in chunks:
        assert set(chunk.columns) == {"Jet_pt", "run"}
        jets, run = chunk.columns["Jet_pt"], chunk.columns["run"]
        assert isinstance(jets, Jagged)
        assert isinstance(run, Flat)
        assert jets.content.dtype == np.dtype("=f4")
        assert jets.offsets.dtype == np.int64
        assert run.values.dtype == np.dtype("=u4")


@KINDS
def test_a_job_without_keys_still_sees_all_events(write_events: Write, kind: str) -> None:
    """With no products named, the events and their identities come."""
    for identity in (True, False):
        source = NtupleSource(files=write_events(kind=kind, identity=identity))
        _, ids, chunks = read(source)
        assert len(ids) == 1000
        assert all(chunk.columns == {} for chunk in chunks)


@KINDS
@pytest.mark.parametrize(
    ("skip", "most"),
    [(0, 250), (250, 100), (399, 2), (350, -1), (800, 100), (1199, 10), (1200, -1), (5000, -1), (0, 0)],
)
def test_skip_and_max_count_over_all_files(write_events: Write, kind: str, skip: int, most: int) -> None:
    """`skip_events` and `max_events` count over the list of files, and the catalog's total agrees."""
    files = [write_events(f"{n}.root", 400, kind=kind, first=400 * n) for n in range(3)]
    source = NtupleSource(files=files, skip_events=skip, max_events=most, chunk=130)
    _, ids, _ = read(source, "MET_pt")
    wanted = list(range(1200))[skip:][: most if most >= 0 else None]
    assert [number - 10_000_000_000 for _, _, number in ids] == wanted
    assert source.catalog().events == len(wanted)


@pytest.mark.parametrize("chunk", [7, 400])
def test_events_without_identity_are_numbered_by_their_place(write_events: Write, chunk: int) -> None:
    """A tree without identity gives run 1, block 1 and the entry's number in the job, whatever chunks and skips are."""
    files = [write_events(f"{n}.root", 100, identity=False, first=100 * n) for n in range(2)]
    _, ids, _ = read(NtupleSource(files=files, chunk=chunk, skip_events=30, max_events=100), "MET_pt")
    assert ids == [(1, 1, number) for number in range(30, 130)]


def test_identity_may_have_other_names(write_events: Write) -> None:
    """The branches of the identity can be named, or declared absent one by one."""
    number = np.arange(100)
    path = write_events(events=100, identity=False, extra={"RunNum": number.astype(np.int32), "Evt": number + 5})
    source = NtupleSource(files=path, run="RunNum", luminosity_block="", event="Evt")
    _, ids, chunks = read(source)
    assert ids == [(n, 1, n + 5) for n in range(100)]
    assert chunks[0].columns == {}
    with pytest.raises(InputError, match=r"'RunNumber', the run of events, is not there; did you mean 'RunNum'\?"):
        NtupleSource(files=path, run="RunNumber").catalog()
    with pytest.raises(InputError, match="must hold one integer per event, not float32"):
        NtupleSource(files=path, event="MET_pt").catalog()


def test_half_an_identity_is_refused(write_events: Write) -> None:
    """A tree with `run` and `event` but no block is a fault that says what to set."""
    path = write_events(without=("luminosityBlock",))
    with pytest.raises(InputError, match="set luminosity_block to the branch that holds it, or to '' if none does"):
        NtupleSource(files=path).catalog()
    _, ids, _ = read(NtupleSource(files=path, luminosity_block=None))
    assert ids[0] == (1, 1, 10_000_000_000)


def test_globs_trees_and_single_strings(write_events: Write, tmp_path: Path) -> None:
    """A glob is sorted by name, a trailing `:tree` names the tree, a string stands for a list of one."""
    write_events("b.root", 10, first=10)
    write_events("a.root", 10)
    other = write_events("other.root", 5, tree="Other")
    _, ids, _ = read(NtupleSource(files=str(tmp_path / "[ab].root")))
    assert [number - 10_000_000_000 for _, _, number in ids] == list(range(20))
    _, ids, _ = read(NtupleSource(files=[f"{other}:Other"]))
    assert len(ids) == 5


@KINDS
def test_zero_events_yield_nothing(write_events: Write, kind: str) -> None:
    """A file without events is no fault."""
    source = NtupleSource(files=write_events(events=0, kind=kind))
    assert source.catalog().events == 0
    assert list(source.chunks(frozenset({"Jet_pt"}))) == []


def test_strings_bools_and_nested_lists_survive(tmp_path: Path) -> None:
    """Strings and lists of lists come as they are in the file."""
    path = str(tmp_path / "nested.root")
    words = ak.Array(["a", "", "three", "µ"])
    lists = ak.Array([[[1, 2], []], [], [[3]], [[], [4]]])
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    with new_root(path) as file:
        tree = file.mkrntuple("Events", {"word": "string", "lists": "var * var * int64", "points": "3 * float32"})
        tree.extend({"word": words, "lists": lists, "points": points})
    source = NtupleSource(files=path)
    assert source.catalog().products == {"word": "string", "lists": "var * var * int64", "points": "3 * float32"}
    columns, _, _ = read(source, "word", "lists", "points")
    assert isinstance(columns["word"], Nested)
    assert columns["word"].per_event() == words.tolist()
    assert listed(columns["lists"]) == lists.tolist()
    assert np.array_equal(columns["points"].array(), points)


def test_records_of_an_rntuple_become_a_collection(tmp_path: Path) -> None:
    """A collection of records `Jet` with the member `pt` is the product `Jet_pt`, field `pt` of the collection `Jet`."""
    path = str(tmp_path / "records.root")
    jets: Any = ak.Array([[{"pt": 1.5, "n": 3}], [], [{"pt": 2.5, "n": 1}, {"pt": 0.5, "n": 2}]])
    with new_root(path) as file:
        file.mkrntuple("Events", {"Jet": "var * {pt: float64, n: int64}"}).extend({"Jet": jets})
    source = NtupleSource(files=path)
    assert source.catalog().collections == {"Jet": ("pt", "n")}
    columns, _, _ = read(source, "Jet_pt", "Jet_n")
    assert listed(columns["Jet_pt"]) == jets.pt.tolist()
    assert listed(columns["Jet_n"]) == jets.n.tolist()


@KINDS
def test_wrong_branches_are_refused_by_name(write_events: Write, kind: str) -> None:
    """A branch that is not there is an InputError with file, tree and the nearest names."""
    source = NtupleSource(files=write_events(kind=kind))
    with pytest.raises(
        InputError, match=r"events\.root, tree 'Events': there is no branch 'Jet_pT'; did you mean 'Jet_pt'"
    ):
        list(source.chunks(frozenset({"Jet_pT"})))


def test_wrong_files_are_refused_by_name(write_events: Write, tmp_path: Path) -> None:
    """A missing file, glob or tree, a file that is not ROOT and an empty one are InputErrors that name it."""
    path = write_events()
    (tmp_path / "text.root").write_text("not a ROOT file")
    (tmp_path / "empty.root").touch()
    for files, tree, message in [
        (str(tmp_path / "event.root"), "Events", r"there is no file '.*event\.root'; did you mean 'events\.root'"),
        (str(tmp_path / "none" / "x.root"), "Events", "there is no directory"),
        (str(tmp_path / "*.rooot"), "Events", r"no file matches '.*\*\.rooot'"),
        (str(tmp_path), "Events", "is a directory"),
        (str(tmp_path / "text.root"), "Events", r"'.*text\.root' is not a ROOT file: it begins with b'not '"),
        (str(tmp_path / "empty.root"), "Events", "it is empty"),
        (path, "events", r"events\.root: there is no tree 'events'; did you mean 'Events'\? \(it has 'Events'\)"),
    ]:
        source = NtupleSource(files=files, tree=tree)
        with pytest.raises(InputError, match=message):
            source.catalog()
        with pytest.raises(InputError, match=message):
            list(source.chunks(frozenset()))


@KINDS
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_found_at_once(write_events: Write, tmp_path: Path, kind: str, part: float) -> None:
    """A file shorter than its header says is an InputError before anything is read."""
    path = write_events(kind=kind)
    size = Path(path).stat().st_size
    os.truncate(path, int(size * part))
    with pytest.raises(InputError, match=r"events\.root' is (truncated|not a ROOT file)"):
        NtupleSource(files=path).catalog()


@KINDS
def test_damage_that_shows_only_while_reading_names_branch_and_entries(write_events: Write, kind: str) -> None:
    """Damaged data are an InputError with file, branch and entries, and the events before them came."""
    path = write_events(kind=kind, events=1000, basket=500)
    with open_root(path) as file:
        tree = file["Events"]
        if kind == "ttree":
            seek = int(tree["Jet_eta"].member("fBasketSeek")[1])
            length = int(tree["Jet_eta"].member("fBasketBytes")[1])
            start, stop = seek + 80, seek + length
        else:
            number = next(n for n, field in enumerate(tree.field_records) if field.field_name == "Jet_eta")
            inner = next(
                n for n, field in enumerate(tree.field_records) if field.parent_field_id == number and n != number
            )
            column = next(column.idx for column in tree.column_records if column.field_id == inner)
            locator = tree.page_link_list[1][column].pages[0].locator
            start, stop = int(locator.offset), int(locator.offset) + int(locator.num_bytes)
    with Path(path).open("r+b") as raw:
        raw.seek(start)
        raw.write(b"\xff" * (stop - start))
    source = NtupleSource(files=path, chunk=500)
    assert source.catalog().events == 1000
    came: list[int] = []

    def consume() -> None:
        came.extend(len(chunk) for chunk in source.chunks(frozenset({"MET_pt", "Jet_eta"})))

    with pytest.raises(InputError, match=r"tree 'Events': branch 'Jet_eta', entries .* cannot be read") as caught:
        consume()
    assert caught.value.__cause__ is not None
    assert came == [500]


def test_branches_that_change_between_files_are_faults_before_the_first_event(write_events: Write) -> None:
    """A branch that vanishes or changes its type in a later file is listed as unreadable, with both files."""
    files = [
        write_events("a.root", 10),
        write_events("b.root", 10, without=("Jet_eta",), extra={"MET_pt": np.zeros(10)}),
    ]
    catalog = NtupleSource(files=files).catalog()
    assert {"Jet_eta", "MET_pt"} <= set(catalog.unreadable)
    assert not {"Jet_eta", "MET_pt"} & set(catalog.products)
    assert "missing in" in catalog.unreadable["Jet_eta"]
    assert "b.root" in catalog.unreadable["Jet_eta"]
    assert "it is float32 in" in catalog.unreadable["MET_pt"]
    assert "but float64 in" in catalog.unreadable["MET_pt"]


def test_branches_that_change_between_files_are_found_again_when_read(
    write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that the catalog did not open are checked when they are read."""
    monkeypatch.setattr(source_module, "CATALOG_FILES", 1)
    files = [write_events("a.root", 10), write_events("b.root", 10, without=("Jet_eta",))]
    source = NtupleSource(files=files)
    catalog = source.catalog()
    assert "Jet_eta" in catalog.products
    assert catalog.events is None
    with pytest.raises(InputError, match=r"'Jet_eta' changes between files: it is missing in .*b\.root"):
        list(source.chunks(frozenset({"Jet_eta"})))
    assert sum(len(chunk) for chunk in source.chunks(frozenset({"Jet_pt"}))) == 20


def test_types_of_the_catalog_are_those_that_come(real_file: Find) -> None:
    """For every branch of a NanoAOD file, the type in the catalog is that of the column."""
    source = NtupleSource(files=real_file("nanoAOD_2015_CMS_Open_Data_ttbar.root"))
    catalog = source.catalog()
    assert len(catalog.products) == 947
    assert catalog.events == 200
    assert {"pt", "eta", "btagDeepB", "genJetIdx"} <= set(catalog.collections["Jet"])
    assert set(catalog.collections["MET"]) >= {"pt", "phi"}
    (chunk,) = source.chunks(frozenset(catalog.products))
    for key, column in chunk.columns.items():
        assert str(ak.type(ak.Array(column.array())).content) == catalog.products[key]
    pt, eta = chunk.columns["Jet_pt"], chunk.columns["Jet_eta"]
    assert isinstance(pt, Jagged)
    assert isinstance(eta, Jagged)
    assert pt.offsets is eta.offsets
    assert chunk.ids[0] == (1, 2272915, 227291401)


def test_treemaker_with_its_own_names(real_file: Find) -> None:
    """Split objects are collections; the identity is where the tree has it."""
    path = real_file("treemaker.root")
    names = {"run": "RunNum", "luminosity_block": "LumiBlockNum", "event": "EvtNum"}
    source = NtupleSource(files=path, tree="PreSelection", **names)
    assert {"fPt", "fEta", "fPhi", "fE", "charge"} <= set(source.catalog().collections["Electrons"])
    columns, ids, _ = read(source, "Electrons_fPt", "RunNum")
    with open_root(path) as file:
        plain = file["PreSelection"]["Electrons/Electrons.fCoordinates.fPt"].array().tolist()
        events = file["PreSelection"]["EvtNum"].array().tolist()
    assert listed(columns["Electrons_fPt"]) == plain
    assert [event for _, _, event in ids] == events


def test_hzz_without_identity(real_file: Find) -> None:
    """The counter NMuon makes Muon_Px ... a collection; events are numbered."""
    source = NtupleSource(files=real_file("uproot-HZZ.root"), tree="events")
    assert {"Px", "Py", "Pz", "E", "Charge"} <= set(source.catalog().collections["Muon"])
    columns, ids, _ = read(source, "Muon_Px", "NMuon")
    assert np.diff(columns["Muon_Px"].offsets).tolist() == listed(columns["NMuon"])  # type: ignore[union-attr]
    assert ids[-1] == (1, 1, 2420)


def test_zmumu_with_strings(real_file: Find) -> None:
    """Strings of a TTree come as strings."""
    source = NtupleSource(
        files=real_file("uproot-Zmumu.root"), tree="events", run="Run", luminosity_block="", event="Event"
    )
    assert source.catalog().products["Type"] == "string"
    columns, _, _ = read(source, "Type")
    assert set(columns["Type"].per_event()) == {"GT", "TT", "GG"}


def test_muons_of_the_rntuple(real_file: Find) -> None:
    """The projected fields of ROOT's conversion of NanoAOD are a collection of muons."""
    source = NtupleSource(files=real_file("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"))
    catalog = source.catalog()
    assert catalog.collections == {"Muon": ("pt", "eta", "phi", "mass", "charge")}
    columns, _, _ = read(source, "Muon_pt", "nMuon")
    assert np.diff(columns["Muon_pt"].offsets).tolist() == listed(columns["nMuon"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tree", "branch"), [("MetaData", "ProcessHistory"), ("ParameterSets", "IdToParameterSetsBlobs")]
)
def test_objects_that_cannot_be_read_are_listed(real_file: Find, tree: str, branch: str) -> None:
    """C++ objects that uproot cannot take apart are known before the first event, with the reason."""
    source = NtupleSource(files=real_file("pfnano.root"), tree=tree)
    assert branch in source.catalog().unreadable
    with pytest.raises(InputError, match=f"branch '{branch}' cannot be read: "):
        list(source.chunks(frozenset({branch})))


def test_a_truncated_real_file(real_file: Find, tmp_path: Path) -> None:
    """A copy of a real file that was cut short is refused."""
    path = tmp_path / "cut.root"
    shutil.copy(real_file("uproot-HZZ.root"), path)
    path.chmod(0o644)
    os.truncate(path, 150_000)
    with pytest.raises(InputError, match=r"cut\.root' is truncated: it should have 217945 bytes, and has 150000"):
        NtupleSource(files=str(path), tree="events").catalog()


def test_a_source_offers_what_it_keeps(tmp_path: Path) -> None:
    """Patterns leave branches and fields of collections out; who reads them is told why, and a wrong name has a near one."""
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        file["Events"] = {
            "x": np.arange(3),
            "y": np.arange(3),
            "Jet": ak.zip({"pt": [[1.0], [], [2.0]], "eta": [[0.0], [], [1.0]]}),
        }
    kept = NtupleSource(files=[str(path)], keep=["*", "drop y", "drop Jet_eta"]).catalog()
    assert "x" in kept.products
    assert kept.collections["Jet"] == ("pt",)
    assert kept.unreadable["y"] == kept.unreadable["Jet_eta"] == "the source's `keep` drops it"
    with pytest.raises(ConfigurationError, match=r"there is no product 'Jet_ptt'; did you mean 'Jet_pt'"):
        NtupleSource(files=[str(path)], keep=["Jet_ptt"]).catalog()
