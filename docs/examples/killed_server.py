"""A job whose server is killed on the way, and comes back."""

from dataclasses import replace
from typing import Any

import numpy as np

from evproc.framework import Event
from evproc.framework.testing import run_module
from evproc.sonic_client import Client, InferenceProducer, InferenceService, TensorSpec
from evproc.sonic_client.testing import FakeModel, FakeProcess, FakeServer

X = TensorSpec("x", np.dtype("float32"), (1,))


def double(inputs: dict[str, Any]) -> dict[str, Any]:
    """y = 2 x."""
    return {"y": 2 * inputs["x"]}


def make() -> FakeServer:
    """The server, as its process makes it."""
    return FakeServer([FakeModel("double", [X], [replace(X, name="y")], double)])


class Double(InferenceProducer):
    """Twice the momentum of each jet."""

    model_inputs = {"x": "float32[1]"}
    model_outputs = {"y": "float32[1]"}
    produces = "var * float32"
    consumes = ("Jet_pt",)
    server: FakeProcess | None = None

    def acquire(self, event: Event) -> Any:
        """x: (jets, 1) float32, GeV."""
        if self.server is not None and event.id.event == 50:
            self.server.kill()
            self.server.restart()
        return {"x": event["Jet_pt"].astype("float32")[:, None]}

    def produce(self, event: Event, outputs: Any) -> Any:
        """(jets,) float32, GeV."""
        return outputs["y"][:, 0]


if __name__ == "__main__":
    events = [{"Jet_pt": [float(number)]} for number in range(100)]
    module = Double(client=Client(model="double", tries=20))
    with FakeProcess(make) as server:
        module.server = server
        made = run_module(module, events, services=[InferenceService(servers=[server.url])], block=5)
    assert [float(pt[0]) for pt in made] == [2.0 * number for number in range(100)]
