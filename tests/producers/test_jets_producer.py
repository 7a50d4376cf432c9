"""The jet energy regression as a module."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import ConfigurationError
from evproc.framework.testing import run_module
from evproc.producers.jets import JetEnergyProducer
from evproc.producers.jets.features import jet_features
from evproc.producers.jets.producer import JET_FIELDS
from evproc.sonic_client import InferenceService
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec

RHO = "fixedGridRhoFastjetAll"


def factors(rows: Any) -> Any:
    """A factor for each row by itself, some of them out of range: (rows, 1) float32."""
    return (rows[:, :1] * np.float32(0.3) + rows[:, 10:] * np.float32(0.05)).astype("f4")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server with a model `jet_energy`."""
    spec, answer = TensorSpec("input", np.dtype("f4"), (11,)), TensorSpec("factor", np.dtype("f4"), (1,))
    model = FakeModel("jet_energy", [spec], [answer], lambda x: {"factor": factors(x["input"])})
    with FakeServer([model], keep_inputs=True) as server:
        yield server


def events(*counts: int) -> list[dict[str, Any]]:
    """Events with so many jets each, types as in NanoAOD."""
    random = np.random.default_rng(4)
    made = []
    for count in counts:
        jets: dict[str, Any] = {name: random.uniform(0.1, 0.9, count).astype("f4") for name in JET_FIELDS}
        jets["pt"] = random.exponential(60.0, count).astype("f4") + np.float32(10.0)
        jets["nConstituents"] = random.integers(1, 40, count).astype("u1")
        made.append({"Jet": jets, RHO: np.float32(random.uniform(5.0, 30.0))})
    return made


@pytest.mark.parametrize("block", [1, 3, "auto"])
def test_each_jet_gets_its_own_factor(server: FakeServer, block: int | str) -> None:
    """Momenta are pt times the clamped factor of the jet's own row, with its event's density; no jets give none."""
    given = events(4, 0, 1, 6, 0, 2)
    made = run_module(JetEnergyProducer(), given, services=[InferenceService(servers=[server.url])], block=block)
    clamped = 0
    for corrected, event in zip(made, given, strict=True):
        jets = SimpleNamespace(**event["Jet"])
        factor = factors(jet_features(jets, event[RHO]))[:, 0]
        clamped += int(np.sum(factor > 2.0))
        assert corrected.dtype == np.float32
        assert corrected.tobytes() == (jets.pt * factor.clip(0.5, 2.0)).astype("f4").tobytes()
    assert clamped > 0
    assert sum(request.rows for request in server.requests) == 13


def test_other_names(server: FakeServer) -> None:
    """Another collection and another density can be named."""
    given = [{"FatJet": event["Jet"], "rho": event[RHO]} for event in events(2, 3)]
    module = JetEnergyProducer(jets="FatJet", rho="rho")
    made = run_module(module, given, services=[InferenceService(servers=[server.url])])
    assert [len(corrected) for corrected in made] == [2, 3]


def test_missing_inputs_are_faults(server: FakeServer) -> None:
    """A field of the jets and the density that are not there are told together."""
    given = [{"Jet": {name: np.ones(1, "f4") for name in JET_FIELDS if name != "area"}}]
    with pytest.raises(ConfigurationError) as caught:
        run_module(JetEnergyProducer(), given, services=[InferenceService(servers=[server.url])])
    assert "collection 'Jet' has no field 'area'" in str(caught.value)
    assert f"reads '{RHO}', which nothing makes" in str(caught.value)
