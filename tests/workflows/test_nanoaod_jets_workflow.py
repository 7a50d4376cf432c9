"""`nanoaod_jets.py` on a real NanoAOD: corrected jets by a real Triton, however the job runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.producers.jets.features import corrected_pt, jet_features
from evproc.producers.jets.producer import JET_FIELDS
from evproc.sonic_client.embedded import EmbeddedServer
from tests.root_files import open_root
from tests.workflows.conftest import MODELS, WORKFLOWS, Done, assert_same, bits, branches, configured

TTBAR = "nanoAOD_2015_CMS_Open_Data_ttbar.root"


def local_pt(path: str) -> tuple[Any, Any]:
    """The corrected momenta of all jets of a file, by onnxruntime here; and the number of jets of each event."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(
        MODELS / "jet_energy" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    with open_root(path) as file:
        tree = file["Events"]
        columns = {name: tree[f"Jet_{name}"].array() for name in JET_FIELDS}
        counts = ak.to_numpy(ak.num(columns["pt"]))
        jets = SimpleNamespace(**{name: ak.to_numpy(ak.flatten(column)) for name, column in columns.items()})
        rho = np.repeat(tree["fixedGridRhoFastjetAll"].array(library="np"), counts)
    factor = session.run(["factor"], {"input": jet_features(jets, rho)})[0][:, 0]
    return corrected_pt(jets.pt, factor), counts


@pytest.fixture
def ttbar(real_file: Callable[[str], str]) -> str:
    """A real NanoAOD with jets."""
    return real_file(TTBAR)


def test_real_jets_are_corrected(ttbar: str, models_server: EmbeddedServer) -> None:
    """For blocks, streams and batches: momenta as by onnxruntime here to 1e-6, all else bit for bit as in the input."""
    expected, counts = local_pt(ttbar)
    assert len(expected) > 500
    runs = []
    for how in (
        {},
        {"options.block": 1, "corrected_pt.client.coalesce": False},
        {"options.block": 7, "options.streams": 16, "corrected_pt.client.max_rows": 50, "source.chunk": 30},
    ):
        settings = {"source.files": ttbar, "inference.servers": [models_server.url], "histograms.plot": "", **how}
        configured("nanoaod_jets", settings | {"histograms.file": "counts.json"}).run()
        written = branches("output/jets.root")
        assert ak.num(written["corrected_pt"]).to_list() == counts.tolist()
        assert ak.to_numpy(ak.flatten(written.pop("corrected_pt"))) == pytest.approx(expected, rel=1e-6)
        runs.append((written, json.loads(Path("counts.json").read_text())["histograms"]))
    with open_root(ttbar) as file:
        for name in ("run", "luminosityBlock", "event", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"):
            assert bits(runs[0][0][name]) == bits(file["Events"][name].array()), name
    counts_of = {title: histogram["counts"] for title, histogram in runs[0][1].items()}
    assert list(counts_of.values())[1] == np.histogram(expected, bins=50, range=(0.0, 250.0))[0].tolist()
    for written, histograms in runs[1:]:
        assert_same(written, runs[0][0])
        assert histograms["Jet_pt"] == runs[0][1]["Jet_pt"]


def test_the_command_runs_it(ttbar: str, models_server: EmbeddedServer, evproc: Callable[..., Done]) -> None:
    """One command writes corrected jets and a picture; without the file it says what is missing."""
    server = f"inference.servers=[{models_server.url}]"
    path = WORKFLOWS / "nanoaod_jets.py"
    done = evproc("run", path, "-o", f"source.files={ttbar}", "-o", server)
    assert done.code == 0, done
    assert Path("output/jets.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert len(branches("output/jets.root")["event"]) == 200
    done = evproc("run", path, "-o", server)
    assert done.code == 2
    assert "source: there is no file 'nanoaod.root'" in done.err
