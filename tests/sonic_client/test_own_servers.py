"""Servers of the job's own: started only if none is named, and faults where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework import ConfigurationError, EndPath, Event, Process
from evproc.framework.testing import EventSource
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceProducer, OwnServer, OwnServers, TensorSpec
from tests.framework.core_toys import Look

X, Y = TensorSpec("x", np.dtype("f4"), (1,)), TensorSpec("y", np.dtype("f4"), (1,))


class Doubled(InferenceProducer):
    """Twice a number, by a server."""

    model_inputs = {"x": "float32[1]"}
    model_outputs = {"y": "float32[1]"}
    produces = "float32"
    consumes = ("x",)

    def acquire(self, event: Event) -> Any:
        """One row."""
        return {"x": np.full((1, 1), event["x"], np.float32)}

    def produce(self, event: Event, outputs: Any) -> Any:
        """The answer."""
        return outputs["y"][0, 0]


def job(own: dict[str, OwnServer], **parameters: Any) -> Process:
    """Twice the numbers of five events."""
    process = Process("OWN")
    process.source = EventSource({"x": np.arange(5, dtype="f4")})
    process.inference = OwnServers(own=own, environment=False, **parameters)
    process.doubled = Doubled(client=Client(model="double"))
    process.look = Look(of=["doubled"])
    process.end = EndPath(process.look)
    return process


def test_servers_that_are_named_are_used(tmp_path: Path) -> None:
    """With a server of the user's nothing is started, whatever the own ones would be."""
    model = FakeModel("double", [X], [Y], lambda inputs: {"y": 2 * inputs["x"]}, 16)
    with FakeServer([model]) as server:
        process = job({"mine": OwnServer(models=str(tmp_path), load=["double"])}, servers=[server.url])
        result = process.run()
    (used,) = result.services["inference"]["servers"]
    assert used["server"] == server.url


def test_own_servers_that_cannot_start_are_faults(tmp_path: Path, triton_wheel: Path) -> None:
    """A server without its model, and a model that no own server has, are told before the first event, with names."""
    with pytest.raises(ConfigurationError, match=r"inference\.own\.mine"):
        job({"mine": OwnServer(models=str(tmp_path), load=["double"])}).run()
    with pytest.raises(ConfigurationError, match="no server has model 'double'"):
        job({"mine": OwnServer(models=str(tmp_path), load=["other"])}).run()
