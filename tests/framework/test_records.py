"""Collections as records: names that `vector` knows, vectors in columnar modules, and files without the names."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector

from evproc.framework import Columns, EndPath, ModuleError, Path, Process, Producer
from evproc.framework.columns import Column, Flat, Jagged
from evproc.framework.records import records, unnamed
from evproc.framework.testing import run_module
from evproc.modules import NtupleOutput, NtupleSource
from tests.root_files import open_root

OFFSETS = np.array([3, 5, 5, 6])
PT, ETA = np.arange(8.0), np.arange(8.0) / 10


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"pt": Jagged(OFFSETS, PT), "eta": Jagged(OFFSETS, ETA)}, "var * {pt: float64, eta: float64}"),
        (
            {"pt": Jagged(OFFSETS, PT), "phi": Jagged(OFFSETS - 3, ETA)},
            "var * Momentum2D[pt: float64, phi: float64]",
        ),
        (
            {"pt": Jagged(OFFSETS, PT), "eta": Jagged(OFFSETS, ETA), "phi": Jagged(OFFSETS, ETA), "mass": Flat(PT[:3])},
            "var * Momentum4D[pt: float64, eta: float64, phi: float64, mass: float64]",
        ),
        ({"pt": Flat(PT), "phi": Flat(ETA)}, "Momentum2D[pt: float64, phi: float64]"),
        ({"x": Jagged(OFFSETS, np.ones((8, 2)))}, "var * {x: 2 * float64}"),
    ],
)
def test_records_hold_their_fields(columns: dict[str, Column], kind: str) -> None:
    """Each field of the records has the values of its column; momenta have a name."""
    made = records(columns)
    assert " ".join(str(made.type.content).split()) == kind
    lists = [column for column in columns.values() if isinstance(column, Jagged)]
    for field, column in columns.items():
        wanted = column.array()
        if isinstance(column, Flat) and lists:
            wanted = ak.broadcast_arrays(wanted, lists[0].array())[0]
        assert made[field].to_list() == ak.to_list(wanted)


class Pairs(Producer):
    """The four-momentum of the first two muons, and how far apart they are."""

    consumes = ("Muon",)
    produces = {"p4": "", "mass": "float64", "apart": "float64", "muons": ""}

    def produce_columns(self, columns: Columns) -> Any:
        """All of it by vectors."""
        muons = columns.vectors("Muon")
        first, second = (ak.values_astype(muons[:, at], np.float64) for at in (0, 1))
        both = first + second
        return {"p4": both, "mass": both.mass, "apart": first.deltaR(second), "muons": muons}


class Heavier(Producer):
    """Reads vectors that another module made."""

    consumes = ("pairs:p4",)
    produces = "float64"

    def produce_columns(self, columns: Columns) -> Any:
        """Twice the mass."""
        return columns.vectors("pairs:p4").mass * 2


def dimuons(count: int) -> list[dict[str, Any]]:
    """Events with two muons or more."""
    random = np.random.default_rng(3)
    made = []
    for _ in range(count):
        n = int(random.integers(2, 5))
        fields: dict[str, tuple[float, float]] = {"pt": (5, 50), "eta": (-2, 2), "phi": (-3, 3), "mass": (0.1, 0.2)}
        made.append({"Muon": {name: random.uniform(limits[0], limits[1], n) for name, limits in fields.items()}})
    return made


# vector sets dtypes itself, of which NumPy 2.5 warns
@pytest.mark.filterwarnings("ignore:Setting the dtype on a NumPy array:DeprecationWarning")
def test_vectors_do_what_vector_does() -> None:
    """`+`, `.mass` and `.deltaR` of `columns.vectors` are those of the library, for blocks of any size."""
    sample = dimuons(40)
    momenta: list[Any] = [
        vector.array({name: [event["Muon"][name][at] for event in sample] for name in ("pt", "eta", "phi", "mass")})
        for at in (0, 1)
    ]
    first, second = momenta
    for block in (1, 7, 1000):
        made = run_module(Pairs(), sample, block=block)
        assert [event["mass"] for event in made] == pytest.approx((first + second).mass, rel=1e-12)
        assert [event["apart"] for event in made] == pytest.approx(first.deltaR(second), rel=1e-12)


def test_without_the_library_or_a_momentum_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of something that is no momentum, or without `vector`, fail with a sentence that helps."""
    with pytest.raises(ModuleError, match="'Muon' is no momentum: its fields are pt, charge"):
        run_module(Pairs(), [{"Muon": {"pt": [1.0, 2.0], "charge": [1, 2]}}])
    monkeypatch.setitem(__import__("sys").modules, "vector.backends.awkward", None)
    with pytest.raises(ModuleError, match=r"install evproc\[vector\]"):
        run_module(Pairs(), dimuons(1))


@pytest.mark.parametrize("form", ["rntuple", "parquet"])
def test_files_hold_no_names(form: str, tmp_path: FilePath) -> None:
    """Vectors are written as plain records, and come back with the same numbers."""
    path = tmp_path / "in.root"
    arrays = {f"Muon_{name}": [event["Muon"][name] for event in dimuons(30)] for name in ("pt", "eta", "phi", "mass")}
    with uproot.recreate(path) as file:
        file.mktree("Events", dict.fromkeys(arrays, "var * float64")).extend(
            {k: ak.Array(v) for k, v in arrays.items()}
        )
    out = tmp_path / ("out.parquet" if form == "parquet" else "out.root")
    process = Process("VECTORS")
    process.source = NtupleSource(files=str(path))
    process.pairs = Pairs()
    process.heavier = Heavier()
    keep = ["pairs:muons", "heavier", "pairs:mass"] + (["pairs:p4"] if form == "parquet" else [])
    process.out = NtupleOutput(file=str(out), format=form, keep=keep)
    process.path = Path(process.pairs, process.heavier)
    process.end = EndPath(process.out)
    process.run()
    if form == "parquet":
        found = ak.from_parquet(out)
        assert "Momentum" not in str(found.type)
        assert len(found["pairs_p4"].fields) == 4
    else:
        with open_root(out) as file:
            found = file["Events"].arrays()
    assert found["pairs_muons"]["pt"].to_list() == [list(pt) for pt in arrays["Muon_pt"]]
    assert found["heavier"].to_list() == [2 * mass for mass in found["pairs_mass"].to_list()]


def test_names_are_taken_off_at_any_depth() -> None:
    """Records in records and in lists lose their names, and keep all else: texts, missing values, numbers."""
    inner = ak.zip({"pt": [[1.0, 2.0], []], "phi": [[0.0, 1.0], []]}, with_name="Momentum2D")
    named = ak.zip({"a": inner, "b": ["x", None], "c": [1, None]}, depth_limit=1, with_name="Other")
    plain = unnamed(named)
    assert plain.to_list() == named.to_list()
    assert "Momentum" not in str(plain.type)
    assert "Other" not in str(plain.type)
    assert "string" in str(plain.type)
