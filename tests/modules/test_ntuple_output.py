"""What `NtupleOutput` writes, and what it does when it cannot."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import Catalog, Columns, ConfigurationError, Job, OutputError
from evproc.framework.event import EventIDs
from evproc.modules import NtupleOutput, NtupleSource
from evproc.modules.collections_of import find_collections
from evproc.modules.column_types import as_column, column_type
from evproc.modules.output_schema import IDENTITY
from tests.root_files import open_root

from .conftest import events_arrays

Make = Callable[..., Columns]
FORMATS = pytest.mark.parametrize("form", ["ttree", "rntuple", "parquet"])


@pytest.fixture
def job() -> Iterator[Job]:
    """A job as modules are given it."""
    with ThreadPoolExecutor(1) as pool:
        yield Job("TEST", {}, pool, 0)


def offer(arrays: dict[str, Any], **kinds: str) -> Catalog:
    """The catalog of arrays; `kinds` replaces types, an empty one means unsaid."""
    products = {key: column_type(as_column(array)) for key, array in arrays.items()} | kinds
    return Catalog(products, find_collections(products), {}, None, "arrays")


def write(
    output: NtupleOutput,
    arrays: dict[str, Any],
    make: Make,
    job: Job,
    *,
    block: int = 1000,
    catalog: Catalog | None = None,
) -> None:
    """Give all events to an output module in blocks, and commit."""
    assert output.check() == []
    keys = output.resolve(catalog or offer(arrays))
    output.begin_job(job)
    events = len(next(iter(arrays.values())))
    for start in range(0, events, block):
        piece = {key: arrays[key][start : start + block] for key in keys}
        output.write_columns(make(piece, first=start, size=min(block, events - start)))
    output.end_job()
    output.commit()


def read(path: Path, form: str) -> dict[str, Any]:
    """All branches of a file as lists, and their types."""
    if form == "parquet":
        array = ak.from_parquet(path)
        return {name: (one_line(array[name]), array[name].tolist()) for name in array.fields}
    with open_root(path) as file:
        arrays = file["Events"].arrays()
        return {name: (one_line(arrays[name]), arrays[name].tolist()) for name in arrays.fields}


def one_line(array: Any) -> str:
    return str(ak.type(array).content)


def path_for(tmp_path: Path, form: str, name: str = "out") -> Path:
    return tmp_path / f"{name}.{'parquet' if form == 'parquet' else 'root'}"


@FORMATS
@pytest.mark.parametrize("buffer", [10_000, 64])
def test_what_is_written_comes_back(tmp_path: Path, make_columns: Make, job: Job, form: str, buffer: int) -> None:
    """Every product comes back with its type and values, beside the identity of the events."""
    arrays = events_arrays(300, identity=False)
    arrays["point"] = np.arange(600, dtype=np.int16).reshape(300, 2)
    arrays["word"] = ak.Array([f"w{n}" for n in range(300)])
    path = path_for(tmp_path, form)
    output = NtupleOutput(file=str(path), format=form, buffer_events=buffer)
    write(output, arrays, make_columns, job, block=70)
    back = read(path, form)
    for key, array in arrays.items():
        kind, values = back[key]
        assert values == array.tolist()
        assert kind == column_type(as_column(array))
    assert back["event"] == ("uint64", list(range(300)))
    assert back["run"] == ("uint32", [1] * 300)
    assert back["luminosityBlock"] == ("uint32", [1] * 300)
    report = output.report()
    assert report is not None
    assert (report.events, report.nbytes, report.file) == (300, path.stat().st_size, str(path))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_fields_of_a_collection_share_a_counter(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """In a TTree, `Jet_pt` and `Jet_eta` are counted by one `nJet`; a list alone has a counter of its own."""
    arrays = events_arrays(50, identity=False)
    arrays["energy"] = arrays["Jet_pt"][:, :1]
    arrays["nJet"] = ak.to_numpy(ak.num(arrays["Jet_pt"])).astype(np.uint32)
    path = tmp_path / "out.root"
    write(NtupleOutput(file=str(path)), arrays, make_columns, job, block=7)
    with open_root(path) as file:
        tree = file["Events"]
        counters = {name: branch.count_branch.name for name, branch in tree.items() if branch.count_branch is not None}
        assert counters == {"Jet_pt": "nJet", "Jet_eta": "nJet", "energy": "nenergy"}
        assert tree["nJet"].array().tolist() == arrays["nJet"].tolist()
        assert len([name for name in tree.keys() if name.startswith("n")]) == 2  # noqa: SIM118 - a TTree
    catalog = NtupleSource(files=str(path)).catalog()
    assert catalog.collections["Jet"] == ("pt", "eta")


def test_lists_of_other_lengths_get_their_own_counter(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Fields with one prefix but different lengths are written as separate lists."""
    arrays = {
        "Jet_pt": ak.Array([[1.0], [2.0, 3.0]]),
        "Jet_eta": ak.Array([[1.0], [2.0, 3.0]]),
        "Jet_id": ak.Array([[1], []]),
    }
    path = tmp_path / "out.root"
    write(NtupleOutput(file=str(path)), arrays, make_columns, job)
    back = read(path, "ttree")
    assert {key: back[key][1] for key in arrays} == {key: array.tolist() for key, array in arrays.items()}


def test_lists_that_cease_to_match_are_an_error(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Fields that share a counter and later have different lengths stop the job, with both names."""
    arrays = {"Jet_pt": ak.Array([[1.0], [2.0, 3.0]]), "Jet_eta": ak.Array([[1.0], [2.0]])}
    output = NtupleOutput(file=str(tmp_path / "out.root"), buffer_events=1)
    with pytest.raises(OutputError, match=r"'Jet_pt' and 'Jet_eta' are fields of the collection 'Jet'.* has 2 and 1"):
        write(output, arrays, make_columns, job)
    output.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_counter_must_count(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """A product that has the name of a counter, but other values, is not silently replaced."""
    arrays = {"Jet_pt": ak.Array([[1.0], [2.0, 3.0]]), "nJet": np.array([1, 7])}
    output = NtupleOutput(file=str(tmp_path / "out.root"))
    with pytest.raises(OutputError, match="product 'nJet' has the name of the branch that counts 'Jet_pt'"):
        write(output, arrays, make_columns, job)
    output.discard()


@FORMATS
def test_files_do_not_depend_on_blocks(tmp_path: Path, make_columns: Make, job: Job, form: str) -> None:
    """Blocks of 1, 7, 1,000 and all events give the same content, cut into the same batches."""
    arrays = events_arrays(3000, identity=False)
    arrays["made"] = np.arange(3000)
    contents = []
    for block in (1, 7, 1000, 3000):
        path = path_for(tmp_path, form, f"out{block}")
        output = NtupleOutput(file=str(path), format=form, buffer_events=900)
        write(output, arrays, make_columns, job, block=block, catalog=offer(arrays, made=""))
        contents.append((read(path, form), cuts(path, form)))
    assert all(content == contents[0] for content in contents)
    assert contents[0][1] == [0, 900, 1800, 2700]


def cuts(path: Path, form: str) -> list[int]:
    """The first entries of the batches in a file."""
    if form == "parquet":
        import pyarrow.parquet as pq

        groups = pq.ParquetFile(path).metadata
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        return [0, *np.cumsum(sizes)[:-1].tolist()]
    with open_root(path) as file:
        tree = file["Events"]
        if form == "ttree":
            return [int(at) for at in tree["event"].entry_offsets[:-1]]
        return [int(cluster.num_first_entry) for cluster in tree.cluster_summaries]


def test_large_events_are_written_before_they_fill_the_memory(
    tmp_path: Path, make_columns: Make, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer is bounded in bytes too, and is cut at the same events whatever the blocks are."""
    from evproc.modules import ntuple_output

    monkeypatch.setattr(ntuple_output, "BUFFER_BYTES", 10_000)
    arrays = {"energy": ak.unflatten(np.arange(20_000.0), np.full(100, 200)), "word": ak.Array(["x" * 100] * 100)}
    found = []
    for block in (1, 3, 100):
        path = path_for(tmp_path, "ttree", f"out{block}")
        write(NtupleOutput(file=str(path)), arrays, make_columns, job, block=block)
        found.append(cuts(path, "ttree"))
    assert found[0] == found[1] == found[2]
    assert np.diff(found[0]).max() <= 7


@FORMATS
def test_no_events_still_make_a_file(tmp_path: Path, make_columns: Make, job: Job, form: str) -> None:
    """A job that selects nothing writes a readable file with the branches whose types are known, and says so."""
    arrays = events_arrays(0, identity=False) | {"made": np.zeros(0)}
    path = path_for(tmp_path, form)
    output = NtupleOutput(file=str(path), format=form)
    write(output, arrays, make_columns, job, catalog=offer(arrays, made=""))
    back = read(path, form)
    assert {"Jet_pt", "Jet_eta", "MET_pt", "flag", "run", "luminosityBlock", "event"} <= set(back)
    assert all(values == [] for _, values in back.values())
    said = "; ".join(output.warnings)
    assert "0 events were written" in said
    assert "no branches for made" in said


def test_patterns_keep_and_drop_in_order(tmp_path: Path) -> None:
    """The last pattern that matches a product decides; a collection stands for its fields."""
    catalog = offer(events_arrays(3) | {"energy": np.zeros(3)})
    catalog.unreadable["Object"] = "no reason"

    def kept(*patterns: str) -> set[str]:
        return set(NtupleOutput(file=str(tmp_path / "x.root"), keep=list(patterns)).resolve(catalog))

    assert kept("*") == set(catalog.products)
    assert kept("Jet") == kept("Jet_*") == {"Jet_pt", "Jet_eta"}
    assert kept("Jet_*", "drop Jet_pt", "energy") == {"Jet_eta", "energy"}
    assert kept("drop *", "Jet_pt") == {"Jet_pt"}
    assert kept("Jet_pt", "drop *") == set()
    for pattern, message in [
        ("Jet_pT", "there is no product 'Jet_pT'; did you mean 'Jet_pt'"),
        ("Muon_*", r"no product matches 'Muon_\*'"),
        ("Object", "'Object' cannot be read: no reason"),
        ("drop energi", "there is no product 'energi'; did you mean 'energy'"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            kept(pattern)
    with pytest.raises(ConfigurationError, match=r"(?s)'aaa'.*'bbb'"):
        kept("aaa", "bbb")


def test_products_with_instances_are_written_with_an_underscore(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """`label:instance` becomes the branch `label_instance`; two products for one branch are a fault."""
    path = tmp_path / "out.root"
    write(NtupleOutput(file=str(path)), {"jets:pt": np.ones(2)}, make_columns, job)
    assert read(path, "ttree")["jets_pt"] == ("float64", [1.0, 1.0])
    output = NtupleOutput(file=str(path))
    with pytest.raises(ConfigurationError, match="would both be written as 'jets_pt'"):
        output.resolve(offer({"jets:pt": np.ones(2), "jets_pt": np.ones(2)}))


@pytest.mark.parametrize(
    ("kind", "form", "why"),
    [
        ("var * var * float32", "ttree", "a TTree stores only numbers"),
        ("var * string", "ttree", "a TTree stores only numbers"),
        ("var * 2 * float32", "ttree", "a TTree stores only numbers"),
        ("?float32", "ttree", "a TTree stores only numbers"),
        ("float16", "rntuple", "no file format here stores float16"),
        ("complex64", "parquet", "no file format here stores complex64"),
        ("{x: int64}", "rntuple", "an RNTuple stores records only in lists"),
    ],
)
def test_types_that_a_format_cannot_store_are_faults_at_once(tmp_path: Path, kind: str, form: str, why: str) -> None:
    """A declared type that cannot be written is a fault of the configuration, with a way out."""
    output = NtupleOutput(file=str(path_for(tmp_path, form)), format=form)
    with pytest.raises(ConfigurationError, match=rf"'made' \(.*\) cannot be written: {why}.*drop made"):
        output.resolve(Catalog({"made": kind}))


def test_undeclared_types_that_cannot_be_stored_stop_the_job(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """The same is found with the first events where nothing was declared."""
    arrays = {"made": ak.Array([[[1.0]], []])}
    output = NtupleOutput(file=str(tmp_path / "out.root"))
    with pytest.raises(OutputError, match=r"product 'made' .* cannot be written: a TTree stores only"):
        write(output, arrays, make_columns, job, catalog=offer(arrays, made=""))
    output.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["rntuple", "parquet"])
def test_nested_products_survive(tmp_path: Path, make_columns: Make, job: Job, form: str) -> None:
    """Lists of lists, of strings and of records, and missing values come back from RNTuple and Parquet."""
    arrays = {
        "lists": ak.Array([[[1, 2], []], [], [[3]]]),
        "words": ak.Array([["a", "bb"], [], ["µ"]]),
        "maybe": ak.Array([1.5, None, 2.5]),
        "records": ak.Array([[{"x": 1, "y": 2.0}], [], [{"x": 3, "y": 4.0}]]),
    }
    path = path_for(tmp_path, form)
    write(NtupleOutput(file=str(path), format=form, buffer_events=2), arrays, make_columns, job, block=1)
    back = read(path, form)
    assert {key: back[key][1] for key in arrays} == {key: array.tolist() for key, array in arrays.items()}


def test_declared_types_hold(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Values are cast to the declared type where they survive; floats are rounded to it, integers never cut."""
    path = tmp_path / "out.root"
    catalog = Catalog({"mass": "float32", "count": "int16", "hits": "var * float32"})
    arrays = {"mass": np.array([0.1, 2.0]), "count": np.array([1, -5]), "hits": ak.Array([[1, 2], []])}
    write(NtupleOutput(file=str(path)), arrays, make_columns, job, catalog=catalog)
    back = read(path, "ttree")
    assert back["mass"] == ("float32", np.array([0.1, 2.0], dtype=np.float32).tolist())
    assert back["count"] == ("int16", [1, -5])
    assert back["hits"] == ("var * float32", [[1.0, 2.0], []])
    for key, values, why in [
        ("count", np.array([1, 40_000]), "a value of int64 does not fit int16"),
        ("count", np.array([1.0, 2.0]), "float64 is no int16"),
        ("mass", np.array([2**24 + 1, 0]), "a value of int64 does not fit float32"),
        ("mass", np.array([1e300, 0]), "a value is too large for float32"),
        ("hits", np.array([1.0, 2.0]), r"float64 is no var \* float32"),
    ]:
        output = NtupleOutput(file=str(path))
        with pytest.raises(OutputError, match=f"'{key}' is .*, but its branch is .*, declared: {why}"):
            write(output, arrays | {key: values}, make_columns, job, catalog=catalog)
        output.discard()


def test_undeclared_types_are_fixed_by_the_first_batch(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Integers and floats in one batch make floats; floats after a batch of integers stop the job, with the events."""
    catalog = Catalog({"made": ""})
    values = np.array([0, 0, 1, 0.5], dtype=object)
    for buffer in (4, 2):
        output = NtupleOutput(file=str(tmp_path / "out.root"), buffer_events=buffer)
        output.resolve(catalog)
        output.begin_job(job)
        pieces = [np.array([int(value)]) if value != 0.5 else np.array([value]) for value in values]

        def write_all(output: NtupleOutput = output, pieces: list[Any] = pieces) -> None:
            for number, piece in enumerate(pieces):
                output.write_columns(make_columns({"made": piece}, first=number))
            output.commit()

        if buffer == 4:
            write_all()
            assert read(output.path, "ttree")["made"] == ("float64", [0.0, 0.0, 1.0, 0.5])
        else:
            with pytest.raises(
                OutputError, match=r"events 2 to 3 \(run/block/event 1/1/2 to 1/1/3\): product 'made' is float64"
            ):
                write_all()
            output.discard()


def test_the_identity_is_written_as_it_is(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Products named as the identity must be the identity; negative numbers are refused, not wrapped."""
    path = tmp_path / "out.root"
    ids = EventIDs(np.array([7, 8], np.int32), np.array([1, 2], np.int64), np.array([2**63, 5], np.uint64))
    output = NtupleOutput(file=str(path), keep=["*"])
    output.resolve(Catalog({"run": "int32", "x": "int64"}))
    output.begin_job(job)
    output.write_columns(make_columns({"x": np.arange(2), "run": ids.run}, ids=ids))
    output.commit()
    back = read(path, "ttree")
    assert [back[part][1] for part in IDENTITY] == [[7, 8], [1, 2], [2**63, 5]]
    output.begin_job(job)
    with pytest.raises(OutputError, match="product 'run' is not the run of the events"):
        output.write_columns(make_columns({"x": np.arange(2), "run": np.array([1, 2])}, ids=ids))
    output.discard()
    wrong = EventIDs(np.array([-7, 8]), ids.luminosity_block, ids.event)
    output.begin_job(job)
    output.write_columns(make_columns({"x": np.arange(2), "run": wrong.run}, ids=wrong))
    with pytest.raises(OutputError, match="a value of int64 does not fit uint32"):
        output.commit()
    output.discard()


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """A job that fails leaves the older file as it was, and nothing else; one that ends well replaces it."""
    path = tmp_path / "out.root"
    path.write_text("older")
    arrays = {"x": np.arange(10)}
    output = NtupleOutput(file=str(path), buffer_events=5)
    output.resolve(offer(arrays))
    output.begin_job(job)
    output.write_columns(make_columns(arrays))
    assert path.read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 2
    output.discard()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    write(output, arrays, make_columns, job)
    assert read(path, "ttree")["x"][1] == list(range(10))


def test_outputs_that_cannot_be_are_faults_before_the_first_event(tmp_path: Path) -> None:
    """A missing directory, an existing file, an input file, an unknown suffix: each is found by `check`."""
    (tmp_path / "there.root").touch()

    def problem(name: str, **parameters: Any) -> str:
        output = NtupleOutput(file=str(tmp_path / name), **parameters)
        (fault,) = output.check()
        assert fault.key == "file"
        return fault.message

    assert "is a file, so there can be no" in problem("there.root/out.root")
    assert "does not say its format" in problem("out.h5")
    assert "exists; set overwrite" in problem("there.root", overwrite=False)
    assert "is a directory" in problem("", format="ttree")
    assert "no lzma" in problem("out.parquet", compression="lzma")
    assert "nothing can be written to the directory '/proc'" in problem("/proc/out.root")
    output = NtupleOutput(file=str(tmp_path / "there.root"))
    source = NtupleSource(files=str(tmp_path / "there.root"))
    assert [file.path for file in source.files()] == [str(tmp_path / "there.root")]
    output._inputs = (str(tmp_path / "." / "there.root"),)
    assert "is also an input file" in output.check()[0].message


def test_two_outputs_to_one_file_are_refused(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Two modules of one process that write the same file do not mix their events."""
    arrays = {"x": np.arange(4)}
    outputs = [NtupleOutput(file=str(tmp_path / "out.root"), buffer_events=1) for _ in range(2)]
    for output in outputs:
        output.resolve(offer(arrays))
        output.begin_job(job)
    outputs[0].write_columns(make_columns(arrays))
    with pytest.raises(OutputError, match="another module of this process writes the same file"):
        outputs[1].write_columns(make_columns(arrays))
    outputs[1].discard()
    outputs[0].commit()
    assert read(outputs[0].path, "ttree")["x"][1] == [0, 1, 2, 3]


def test_the_provenance_is_in_the_file(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """What the job says of itself is stored with the events."""
    job.record = lambda: {"hash": "abc"}
    for form in ("ttree", "parquet"):
        path = path_for(tmp_path, form)
        write(NtupleOutput(file=str(path)), {"x": np.arange(4)}, make_columns, job)
    with open_root(tmp_path / "out.root") as file:
        assert json.loads(str(file["evproc"])) == {"hash": "abc"}
    import pyarrow.parquet as pq

    assert json.loads(pq.read_metadata(tmp_path / "out.parquet").metadata[b"evproc"]) == {"hash": "abc"}


def test_a_file_that_came_out_short_is_not_given_its_name(
    tmp_path: Path, make_columns: Make, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the finished file has fewer entries than were written, the job fails and the file is gone."""
    from evproc.modules import ntuple_output

    monkeypatch.setattr(ntuple_output, "count_entries", lambda *_: 3)
    output = NtupleOutput(file=str(tmp_path / "out.root"))
    with pytest.raises(OutputError, match="4 events were written, but the file has 3"):
        write(output, {"x": np.arange(4)}, make_columns, job)
    output.discard()
    assert list(tmp_path.iterdir()) == []


@FORMATS
def test_a_full_disk_is_named(
    tmp_path: Path, make_columns: Make, job: Job, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC becomes an OutputError that says so, and nothing is left."""
    from evproc.modules import ntuple_output

    class Full:
        def __init__(self, *_: Any) -> None: ...

        def write(self, batch: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ntuple_output, "open_writer", Full)
    output = NtupleOutput(file=str(path_for(tmp_path, form)), format=form)
    with pytest.raises(OutputError, match=r"out\.\w+' cannot be written: the disk is full \(.* MB left\); 0 events"):
        write(output, {"x": np.arange(4)}, make_columns, job)
    output.discard()
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, signal, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from evproc.framework import Catalog, Job, OutputError
from evproc.framework.columns import Flat
from evproc.framework.event import Columns, EventIDs
from evproc.framework.store import Store, View
from evproc.modules import NtupleOutput

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
output = NtupleOutput(file=sys.argv[1], buffer_events=50_000, compression="none")
output.resolve(Catalog({"x": "float64"}))
output.begin_job(Job("TEST", {}, ThreadPoolExecutor(1), 0))
store = Store(50_000, EventIDs.numbered(0, 50_000), 0, "here")
store.columns["x"] = Flat(np.random.default_rng(1).random(50_000))
store.view = View(store, {"x": None}, "test")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    for _ in range(10):
        output.write_columns(Columns(store.view, None))
    output.commit()
except OutputError as error:
    output.discard()
    print(error)
    sys.exit(error.exit_code)
"""


@FORMATS
def test_a_file_that_may_not_grow(tmp_path: Path, form: str) -> None:
    """A real limit of the operating system on the size of files ends the job with the reason, and leaves nothing."""
    path = path_for(tmp_path, form)
    code = LIMITED.replace("buffer_events", f"format='{form}', buffer_events")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert f"'{path}' cannot be written: the file would be larger than this process may write" in done.stdout
    assert list(tmp_path.iterdir()) == []
