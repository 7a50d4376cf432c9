"""The base of inference modules: what an author writes, and all that it need not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from evproc.framework import ConfigurationError, Event, ModuleError
from evproc.framework.testing import run_module
from evproc.sonic_client.fake import Delay, FakeModel, FakeServer
from evproc.sonic_client.producer import Client, InferenceFilter, InferenceProducer
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import TensorSpec

F4, I8 = np.dtype("f4"), np.dtype("i8")


def calibrate(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"pt": inputs["pt"] * np.float32(1.1), "rank": np.argsort(inputs["pt"]).argsort()}


CALIBRATE = FakeModel(
    "calibrate", [TensorSpec("pt", F4, ())], [TensorSpec("pt", F4, ()), TensorSpec("rank", I8, ())], calibrate, 10
)
SUM = FakeModel(
    "sum",
    [TensorSpec("x", F4, (-1,)), TensorSpec("w", F4, (), optional=True)],
    [TensorSpec("sum", F4, ())],
    lambda inputs: {"sum": inputs["x"].sum(axis=1) * inputs.get("w", np.float32(1))},
    max_batch_size=10,
)
JETS: list[dict[str, Any]] = [
    {"Jet_pt": np.array(values, "f4")} for values in ([10, 20], [], [30], [], [5, 6, 7], [40] * 25, [1])
]


class Calibrated(InferenceProducer):
    """Calibrated momenta."""

    model_inputs = {"pt": "float32"}
    model_outputs = {"pt": "float32"}
    produces = "var * float32"
    consumes = ("Jet_pt",)
    asked: tuple[str, ...] = ()

    def acquire(self, event: Event) -> Any:
        return {"pt": event["Jet_pt"]}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        self.asked = tuple(outputs)
        return outputs["pt"]


class Everything(Calibrated):
    """Declares no outputs, and gets all."""

    model_outputs: Mapping[str, str] = {}


class Central(InferenceFilter):
    """Events whose calibrated sum is above 30 GeV."""

    model_inputs = {"pt": "float32"}
    consumes = ("Jet_pt",)

    def acquire(self, event: Event) -> Any:
        return {"pt": event["Jet_pt"]}

    def filter(self, event: Event, outputs: Mapping[str, Any]) -> bool:
        return bool(outputs["pt"].sum() > 30)


class Sums(InferenceProducer):
    """The sum over a variable number of features, weighted in some events."""

    model_inputs = {"x": "float32[?]"}
    produces = "var * float32"
    consumes = ("Jet_pt",)

    def acquire(self, event: Event) -> Any:
        pt = event["Jet_pt"]
        tensors = {"x": np.stack([pt, pt])}
        if len(pt) == 1:
            tensors["w"] = np.array([10, 100], "f4")
        return tensors

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return outputs["sum"]


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("block", [1, 3, 100])
def test_each_event_gets_the_outputs_of_its_rows(coalesce: bool, block: int) -> None:
    """Rows of many events share requests, events of many rows take several, events of none take none."""
    module = Calibrated(client=Client(model="calibrate", coalesce=coalesce))
    with FakeServer([CALIBRATE], faults=[Delay(0.005)]) as server:
        products = run_module(module, JETS, services=[InferenceService(servers=[server.url])], block=block)
        assert all(request.rows <= 10 for request in server.requests)
    assert [product.tolist() for product in products] == [
        (event["Jet_pt"] * np.float32(1.1)).tolist() for event in JETS
    ]
    assert all(product.dtype == F4 for product in products)
    assert module.asked == ("pt",)


def test_a_module_that_declares_no_outputs_gets_all() -> None:
    """All outputs come, also for an event without rows."""
    module = Everything(client=Client(model="calibrate"))
    with FakeServer([CALIBRATE]) as server:
        run_module(module, JETS[:2], services=[InferenceService(servers=[server.url])])
    assert set(module.asked) == {"pt", "rank"}


def test_a_filter_decides_by_inference() -> None:
    """An inference filter's answer is per event, with empty outputs where there are no rows."""
    with FakeServer([CALIBRATE]) as server:
        passed = run_module(
            Central(client=Client(model="calibrate")), JETS, services=[InferenceService(servers=[server.url])]
        )
    assert passed == [True, False, True, False, False, True, False]


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("block", [1, 3, 100])
def test_rows_of_variable_extent_do_not_depend_on_batching(coalesce: bool, block: int) -> None:
    """A model with a variable extent, and an optional input, gets only rows of one shape in a request."""
    with FakeServer([SUM]) as server:
        products = run_module(
            Sums(client=Client(model="sum", coalesce=coalesce)),
            JETS,
            services=[InferenceService(servers=[server.url])],
            block=block,
        )
    expected = [event["Jet_pt"].sum() * (np.array([10, 100]) if len(event["Jet_pt"]) == 1 else 1) for event in JETS]
    assert [product.tolist() for product in products] == [np.broadcast_to(value, 2).tolist() for value in expected]


@pytest.mark.parametrize("limits", [{"max_rows": 3}, {"max_request": 0.000012}])
def test_limits_of_a_request_are_held(limits: dict[str, Any]) -> None:
    """max_rows and max_request bound each request below the model's own limit."""
    with FakeServer([CALIBRATE]) as server:
        module = Calibrated(client=Client(model="calibrate", **limits))
        run_module(module, JETS, services=[InferenceService(servers=[server.url])])
        assert max(request.rows for request in server.requests) == 3


def test_an_error_in_produce_names_its_event() -> None:
    """What goes wrong with an event's outputs is an error of that event."""

    class Bad(Calibrated):
        def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
            return outputs["pt"][0]

    with (
        FakeServer([CALIBRATE]) as server,
        pytest.raises(ModuleError, match=r"module 'module' \(Bad\) .*event 1 .*IndexError"),
    ):
        run_module(Bad(client=Client(model="calibrate")), JETS, services=[InferenceService(servers=[server.url])])


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ({}, r"client.model: parameter 'model' must be given"),
        ({"model": "calibrate", "timout": 3}, r"client.timout: unknown parameter 'timout'; did you mean 'timeout'"),
        ({"model": "calibrate", "timeout": 0}, r"client.timeout: input should be greater than 0"),
        ({"model": "calibrate", "tries": 0}, r"client.tries: input should be greater than or equal to 1"),
        ({"model": ""}, r"client.model: string should have at least 1 character"),
    ],
)
def test_faults_of_the_client_block_are_named(client: dict[str, Any], words: str) -> None:
    """The nested block's parameters are held like any others."""
    with FakeServer([CALIBRATE]) as server, pytest.raises(ConfigurationError, match=words):
        run_module(Calibrated(client=Client(**client)), JETS, services=[InferenceService(servers=[server.url])])
