"""Tests of one's own modules: a few events in, products out."""

from typing import Any

import numpy as np
import pytest
from my_modules import Digest, DijetMass, Double, EvenEvents, SumPt

from evproc.framework import ConfigurationError
from evproc.framework.testing import run_module
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceService, TensorSpec
from evproc.sonic_client.testing import Unavailable

EVENTS: list[dict[str, Any]] = [
    {"Jet": {"pt": [50.0, 40.0, 20.0], "eta": [0.0, 1.0, 2.0], "phi": [0.0, 3.0, 1.0]}},
    {"Jet": {"pt": [], "eta": [], "phi": []}},
]


def test_sum() -> None:
    """Jets below the threshold do not count; an event without jets has the sum 0."""
    assert run_module(SumPt(threshold=30.0), EVENTS) == [90.0, 0.0]


def test_mass() -> None:
    """Two jets give a mass, none give -1; blocks of one event make no difference."""
    masses = run_module(DijetMass(), EVENTS)
    assert masses == pytest.approx([np.sqrt(2 * 50 * 40 * (np.cosh(1.0) - np.cos(3.0))), -1.0])
    assert run_module(DijetMass(), EVENTS, block=1) == masses


def test_filter() -> None:
    """A filter answers with True or False for each event."""
    assert run_module(EvenEvents(), EVENTS, ids=[(1, 1, 8), (1, 1, 9)]) == [True, False]


def test_external_work() -> None:
    """Several products are a dict."""
    assert [made["size"] for made in run_module(Digest(), EVENTS)] == [3, 0]


def test_wrong_parameter() -> None:
    """A parameter out of its range is a fault, before any event."""
    with pytest.raises(ConfigurationError, match="threshold"):
        run_module(SumPt(threshold=-1.0), EVENTS)


def test_inference() -> None:
    """An inference producer meets a server, here one that has no time for its first request."""
    x, y = (TensorSpec(name, np.dtype("float32"), (1,)) for name in "xy")
    model = FakeModel("double", [x], [y], lambda inputs: {"y": 2 * inputs["x"]})
    events = [{"Jet_pt": np.array(pt, np.float32)} for pt in ([50, 40], [], [20])]
    with FakeServer([model], faults=[Unavailable()]) as server:
        service = InferenceService(servers=[server.url])
        doubled = run_module(Double(client=Client(model="double")), events, services=[service])
    assert [pt.tolist() for pt in doubled] == [[100, 80], [], [40]]
    assert [request.rows for request in server.requests] == [3, 3]
