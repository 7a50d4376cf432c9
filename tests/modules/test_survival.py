"""What an ntuple holds comes out as it went in: source, event, modules of both kinds, output; or it is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from evproc.framework import Columns, ConfigurationError, EndPath, Event, Path, Process, Producer
from evproc.modules import CountFilter, NtupleOutput, NtupleSource
from evproc.modules.input_files import InputFile
from evproc.modules.root_reading import open_reader

FILES: dict[str, dict[str, Any]] = {
    "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root": {},
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": {},
    "nano_dimuon.root": {},
    "pfnano.root": {},
    "treemaker.root": {
        "tree": "PreSelection",
        "run": "RunNum",
        "luminosity_block": "LumiBlockNum",
        "event": "EvtNum",
    },
    "uproot-HZZ.root": {"tree": "events"},
    "uproot-Zmumu.root": {"tree": "events", "run": "Run", "luminosity_block": "", "event": "Event"},
}


class PerEvent(Producer):
    """Makes of each product that it reads the same once more, event by event."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__()
        self.consumes = keys  # type: ignore[misc]  # of this instance
        self.produces = dict.fromkeys(keys, "")  # type: ignore[misc]

    def produce(self, event: Event) -> dict[str, Any]:
        """The same products."""
        return {key: event[key] for key in self.consumes}


class ByColumns(PerEvent):
    """The same by columns, of what the other has made."""

    def __init__(self, keys: list[str], of: str) -> None:
        super().__init__(keys)
        self.of = of
        self.consumes = [f"{of}:{key}" for key in keys]  # type: ignore[misc]

    def produce_columns(self, columns: Columns) -> dict[str, Any]:
        """The same products."""
        return {key: columns[f"{self.of}:{key}"] for key in self.produces}


def job(
    settings: dict[str, Any], keys: list[str], file: FilePath, form: str, keep: list[str], **options: Any
) -> Process:
    """Read, make the products `keys` again by events and by columns in turn, and write."""
    process = Process("SURVIVAL", **options)
    process.source = NtupleSource(**settings)
    process.events = PerEvent(keys)
    process.columns = ByColumns(keys, "events")
    process.again = PerEvent([f"columns:{key}" for key in keys])
    process.out = NtupleOutput(file=str(file), format=form, keep=keep)
    process.path = Path(process.events, process.columns, process.again)
    process.end = EndPath(process.out)
    return process


def read(file: FilePath, form: str) -> Any:
    """The branches of a file that was written: a function from the name to the array."""
    if form == "parquet":
        table = ak.from_parquet(file)
        return lambda name: table[name]
    opened: Any = uproot.open(file)
    with opened as directory:
        tree = directory["Events"]
        arrays = {name: tree[name].array() for name in tree.keys()}  # noqa: SIM118 - a tree is no dict
    return arrays.__getitem__


def same(one: Any, other: Any) -> bool:
    """Whether two arrays have the same values, those that are no number included, and numbers of the same type."""
    one, other = ak.Array(one), ak.Array(other)
    kinds = [str(ak.type(array).content).replace("?", "") for array in (one, other)]
    return kinds[0] == kinds[1] and repr(one.to_list()) == repr(other.to_list())


@pytest.mark.parametrize("form", ["ttree", "rntuple", "parquet"])
@pytest.mark.parametrize("name", FILES)
def test_real_ntuples_survive(name: str, form: str, real_file: Callable[[str], str], tmp_path: FilePath) -> None:
    """Every branch of every real file is written with its type and its bits, copies that modules made of them too.

    Of the files with a thousand branches and more, Parquet gets all, TTree and RNTuple every twentieth.
    """
    settings = {"files": real_file(name), **FILES[name]}
    tree = settings.get("tree", "Events")
    reader = open_reader(InputFile(settings["files"], tree))
    products = {key: reader.branch(key) for key in reader.names}
    first = {branch.type: key for key, branch in reversed(products.items())}
    identity = {"run", "luminosityBlock", "event"}
    (_, _, columns), *_ = reader.read(list(products), reader.plan(list(products), 0, reader.entries, reader.entries))
    reader.close()
    keys = sorted(first.values())
    wanted = sorted(products)[:: 1 if form == "parquet" or len(products) < 500 else 20]
    file = tmp_path / f"out.{'parquet' if form == 'parquet' else 'root'}"
    keep = ["events:*", "columns:*", "again:*", *wanted]
    job(settings, keys, file, form, keep, block=7 if len(products) < 100 else "auto").run()
    written = read(file, form)
    counters = {branch.counter for branch in products.values()} if form != "ttree" else set()
    for key in wanted:
        if key not in identity and not key.startswith("n") and key not in counters:
            assert same(written(key), columns[key].array()), key
    for key in keys:
        for label in ("events", "columns", "again:columns"):
            assert same(written(f"{label}_{key}".replace(":", "_")), columns[key].array()), (label, key)


COUNT = 50
NUMBERS = range(COUNT)
ARRAYS: dict[str, Any] = {
    "text": ak.Array([f"event {number}" if number % 3 else "" for number in NUMBERS]),
    "texts": ak.Array([["a" * (number % 4), "b"][: number % 3] for number in NUMBERS]),
    "lists": ak.values_astype(ak.Array([[[number, 1], [], [2]][: number % 4] for number in NUMBERS]), np.int32),
    "deep": ak.Array([[[[0.5 * number]], []][: number % 3] for number in NUMBERS]),
    "maybe": ak.values_astype(ak.Array([None if number % 4 == 1 else 0.1 * number for number in NUMBERS]), np.float32),
    "some": ak.Array([[None, number, None][: number % 4] for number in NUMBERS]),
    "tracks": ak.Array([[{"pt": 0.5 * number, "hits": [1, 2][: number % 3]}] * (number % 3) for number in NUMBERS]),
    "matrix": np.arange(COUNT * 6, dtype=np.float32).reshape(COUNT, 2, 3),
    "flag": np.arange(COUNT) % 2 == 0,
    "jet_pt": ak.Array([[1.5 * number] * (number % 3) for number in NUMBERS]),
}
TREE = {"text", "matrix", "flag", "jet_pt"}


@pytest.fixture
def nested(tmp_path: FilePath) -> str:
    """An RNTuple with all kinds of fields that one can hold."""
    path = str(tmp_path / "in.root")
    arrays = {key: array for key, array in ARRAYS.items() if key != "matrix"}
    with uproot.recreate(path) as file:
        made = file.mkrntuple("Events", {key: ak.type(ak.Array(array)).content for key, array in arrays.items()})
        made.extend({key: array[:20] for key, array in arrays.items()})
        made.extend({key: array[20:] for key, array in arrays.items()})
    return path


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("form", ["ttree", "rntuple", "parquet"])
def test_all_kinds_of_fields_survive(form: str, block: int, nested: str, tmp_path: FilePath) -> None:
    """Texts, lists of them, lists of lists, missing values and records survive events, columns, a path's mask and the file."""
    fields = [key for key in ARRAYS if key not in ("matrix", "tracks") and (form != "ttree" or key in TREE)]
    keys = [*fields, "tracks_pt", "tracks_hits"] if form != "ttree" else [*fields, "tracks_pt"]
    file = tmp_path / f"out.{'parquet' if form == 'parquet' else 'root'}"
    process = job({"files": nested, "chunk": 30}, keys, file, form, [*keys, "events:*", "columns:*"], block=block)
    process.two = CountFilter(of="jet_pt", at_least=1)
    process.path = Path(process.two, process.events, process.columns, process.again)
    process.out.set(select=["path"])
    process.run()
    written = read(file, form)
    passed = np.arange(COUNT) % 3 > 0
    for key in keys:
        base, _, field = key.partition("_")
        wanted = ARRAYS[base][field] if base == "tracks" else ARRAYS[key]
        for name in (key, f"events_{key}", f"columns_{key}"):
            assert repr(ak.to_list(written(name))) == repr(ak.to_list(wanted[passed])), name


def test_what_a_format_cannot_hold_is_refused_at_once(nested: str, tmp_path: FilePath) -> None:
    """Before the first event, all products that a TTree cannot hold are named, with their types and a way out."""
    process = Process("REFUSED")
    process.source = NtupleSource(files=nested)
    process.out = NtupleOutput(file=str(tmp_path / "out.root"))
    process.end = EndPath(process.out)
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    told = str(caught.value)
    for key in ("texts", "lists", "deep", "maybe", "some", "tracks_hits"):
        assert f"'{key}' (" in told
    assert "use format rntuple or parquet" in told
    assert "'text'" not in told
    assert not (tmp_path / "out.root").exists()
