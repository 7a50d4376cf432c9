"""`dimuon.py` and `dimuon_columns.py` on real ntuples: the same masses, bit for bit, however the job runs; and compiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from tests.workflows.conftest import (
    WORKFLOWS,
    Done,
    assert_same,
    bits,
    branches,
    configured,
    muons,
    open_root,
    write_root,
)

SETTINGS: list[dict[str, Any]] = [
    {"options.block": block, "options.streams": streams} for block in (1, 7, 1000, "auto") for streams in (1, 16)
]
SETTINGS.append({"options.block": 13, "source.chunk": 29, "out.buffer_events": 11})
CARTESIAN = {"source.tree": "events", "mass.coordinates": "cartesian"}
NTUPLES: dict[str, dict[str, Any]] = {
    "nano_dimuon.root": {},
    "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root": {},
    "uproot-HZZ.root": CARTESIAN,
}


def outputs(workflow: str, settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Run a workflow; the branches of its output, and its histograms as data."""
    files = {"out.file": "out.root", "histogram.plot": "", "histogram.file": "counts.json"}
    report = configured(workflow, {**settings, **files}).run()
    written = branches("out.root")
    assert report.outputs[0].events == len(written["mass"])
    return written, json.loads(Path("counts.json").read_text())


@pytest.mark.parametrize("name", NTUPLES)
def test_both_forms_agree_however_they_run(name: str, real_file: Callable[[str], str]) -> None:
    """Masses, muons, identities and counts have the same bits for events and columns, and for all blocks and streams."""
    settings = {"source.files": real_file(name), **NTUPLES[name]}
    expected, counts = outputs("dimuon", settings)
    assert len(expected["mass"]) > 0
    # All ways on the RNTuple; a NanoAOD has 1,600 branches, which takes a job a second to look through.
    few = {"nano_dimuon.root": SETTINGS[-1:], "uproot-HZZ.root": [SETTINGS[3], SETTINGS[-1]]}
    for how in few.get(name, SETTINGS):
        for workflow in ("dimuon", "dimuon_columns"):
            written, histogram = outputs(workflow, {**settings, **how})
            assert_same(written, expected)
            assert histogram == counts, (workflow, how)


def masses(tree: Any, cartesian: bool) -> tuple[Any, Any]:
    """The entries with a pair of opposite charge, and its mass, by awkward alone: the reference."""
    names = ("Px", "Py", "Pz", "E", "Charge") if cartesian else ("pt", "eta", "phi", "mass", "charge")
    columns = {name: tree[f"Muon_{name}"].array() for name in names}
    entries = np.flatnonzero(ak.num(columns[names[0]]) >= 2)
    one, two = ([ak.to_numpy(columns[name][entries, at]).astype(np.float64) for name in names] for at in (0, 1))
    if not cartesian:
        one, two = (
            [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.hypot(pt * np.cosh(eta), mass), charge]
            for pt, eta, phi, mass, charge in (one, two)
        )
    total = [a + b for a, b in zip(one[:4], two[:4], strict=True)]
    mass = np.sqrt(np.maximum(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2, 0.0))
    chosen = (one[4] * two[4] < 0) & (mass > 0)
    return entries[chosen], mass[chosen]


@pytest.mark.parametrize("name", NTUPLES)
def test_the_masses_are_right(name: str, real_file: Callable[[str], str]) -> None:
    """Events, masses, muons, identities and histogram agree with a calculation on whole columns of the input."""
    path = real_file(name)
    cartesian = NTUPLES[name] == CARTESIAN
    written, counts = outputs("dimuon", {"source.files": path, **NTUPLES[name]})
    with open_root(path) as file:
        tree = file["events" if cartesian else "Events"]
        entries, expected = masses(tree, cartesian)
        assert ak.to_numpy(written["mass"]) == pytest.approx(expected, rel=1e-9, abs=1e-4)
        kept = [name for name in written if name.startswith("Muon_")]
        assert len(kept) >= 5
        for key in kept:
            assert bits(written[key]) == bits(
                ak.values_astype(tree[key].array(), written[key].layout.content.dtype)[entries]
            )
        for key in ("run", "luminosityBlock", "event"):
            numbered = {"run": np.ones(tree.num_entries), "luminosityBlock": np.ones(tree.num_entries)}
            there = key in tree.keys()  # noqa: SIM118
            truth = tree[key].array() if there else numbered.get(key, np.arange(tree.num_entries))
            assert written[key].to_list() == np.asarray(truth)[entries].tolist()
    (histogram,) = counts["histograms"].values()
    assert histogram["counts"] == np.histogram(written["mass"], bins=60, range=(0.0, 120.0))[0].tolist()
    assert histogram["overflow"] == int(ak.sum(written["mass"] >= 120.0))


@pytest.mark.parametrize("name", NTUPLES)
def test_compiled_it_is_the_same(name: str, real_file: Callable[[str], str]) -> None:
    """`dimuon_compiled.py` selects the same events, with the same counts, and masses that differ by rounding alone."""
    settings = {"source.files": real_file(name), **NTUPLES[name]}
    expected, counts = outputs("dimuon", settings)
    first: dict[str, Any] | None = None
    for how in SETTINGS[3:5] if name != "nano_dimuon.root" else SETTINGS[-1:]:
        written, histogram = outputs("dimuon_compiled", {**settings, **how})
        assert histogram == counts
        first = first or written
        assert_same(written, first)
        mass, wanted = ak.to_numpy(written.pop("mass")), expected["mass"]
        assert mass == pytest.approx(ak.to_numpy(wanted), rel=1e-9)
        assert_same(written, {key: expected[key] for key in written})
        written["mass"] = mass


@pytest.mark.parametrize("workflow", ["dimuon", "dimuon_columns", "dimuon_compiled"])
def test_the_command_runs_it(workflow: str, evproc: Callable[..., Done]) -> None:
    """Check, run with a report, configuration as YAML, and a run of that: the same bits; and pictures are PNG."""
    write_root("muons.root", muons(300))
    path = WORKFLOWS / f"{workflow}.py"
    checked = evproc("check", path)
    assert checked.code == 0, checked
    assert not Path("output").exists(), "checking makes nothing"
    done = evproc("run", path, "--report", "report.json")
    assert done.code == 0, done
    assert Path(f"output/{workflow}.png").read_bytes().startswith(b"\x89PNG\r\n")
    report = json.loads(Path("report.json").read_text())
    first = branches(f"output/{workflow}.root")
    assert report["events"] == 300
    assert report["outputs"][0]["events"] == len(first["mass"])
    assert {module["label"] for module in report["modules"]} >= {
        "source",
        "two_muons",
        "mass",
        "paired",
        "histogram",
        "out",
    }
    assert evproc("config", path, "--output", "dimuon.yaml").code == 0
    again = evproc("run", "dimuon.yaml", "-o", "out.file=again.root")
    assert again.code == 0, again
    assert_same(branches("again.root"), first)


def test_rntuple_and_parquet_hold_the_same(evproc: Callable[..., Done]) -> None:
    """The skim as an RNTuple and as Parquet has the values of the TTree."""
    write_root("muons.root", muons(300))
    path = WORKFLOWS / "dimuon.py"
    for file, form in (("a.root", "ttree"), ("b.root", "rntuple"), ("c.parquet", "auto")):
        done = evproc("run", path, "-q", "-o", f"out.file={file}", "-o", f"out.format={form}", "-o", "histogram.plot=")
        assert done.code == 0, done
    first = branches("a.root")
    second = branches("b.root")
    third = ak.from_parquet("c.parquet")
    for name in ("run", "luminosityBlock", "event", "mass", "Muon_pt", "Muon_charge"):
        assert first[name].to_list() == second[name].to_list() == third[name].to_list()
