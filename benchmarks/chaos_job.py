"""The job of the chaos benchmark: asks for twice each event's number, keeps what came, and lets things happen on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from time import perf_counter
from typing import Any

import numpy as np

from evproc.framework import Analyzer, EndPath, Event, ExceptionPolicy, Process
from evproc.framework import Path as ModulePath
from evproc.framework.errors import EvprocError
from evproc.framework.testing import EventSource
from evproc.sonic_client import Client, InferenceProducer, InferenceService
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.testing import FakeModel, FakeServer

SPEC = TensorSpec("x", np.dtype("f4"), (2,))
CLIENT: dict[str, Any] = {"model": "double", "timeout": 10.0, "tries": 60, "max_rows": 8}


def double(inputs: dict[str, Any]) -> dict[str, Any]:
    """y = 2 x."""
    return {"y": 2 * inputs["x"]}


MODEL = FakeModel("double", [SPEC], [replace(SPEC, name="y")], double, max_batch_size=64, latency=0.002)


def make() -> FakeServer:
    """A fake server that is well, for a process of its own."""
    return FakeServer([MODEL])


def make_quick() -> FakeServer:
    """One that answers at once."""
    return FakeServer([replace(MODEL, latency=0.0)])


class Happen(Analyzer):
    """Does what is to happen when it sees certain events."""

    consumes = ("x",)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.actions: Mapping[int, Callable[[], None]] = {}

    def analyze(self, event: Event) -> None:
        """The action of this event, if it has one."""
        if (action := self.actions.get(event["x"])) is not None:
            action()


class Double(InferenceProducer):
    """Twice the number of the event, by way of a server: `x % 4` rows."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[2]"}
    produces = "float32"
    consumes = ("x",)

    def acquire(self, event: Event) -> Any:
        """x: (x % 4, 2) float32."""
        number = event["x"]
        return {"x": np.full((number % 4, 2), number, "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        """The sum of all rows over their number; -1 without rows."""
        y = outputs["y"]
        return np.float32(y.mean()) if len(y) else np.float32(-1)


class Keep(Analyzer):
    """Keeps number and answer of each event, in the order in which they come."""

    consumes = ("x", "double")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.rows: list[tuple[int, float]] = []

    def analyze(self, event: Event) -> None:
        """Keep it."""
        self.rows.append((int(event["x"]), float(event["double"])))


@dataclass(slots=True)
class Outcome:
    """What a job made of its events."""

    events: int
    rows: list[tuple[int, float]]
    seconds: float
    failed: list[int] = field(default_factory=list)
    """The numbers of the events that the report names as failed."""
    error: EvprocError | None = None
    """With which the job ended, if it did."""
    report: Any = None

    @property
    def wrong(self) -> list[tuple[int, float]]:
        """Events with another value than they should have."""
        return [(number, value) for number, value in self.rows if value != (2 * number if number % 4 else -1)]

    @property
    def lost(self) -> list[int]:
        """Events that came out neither with a value nor with a failure."""
        return sorted(set(range(self.events)) - {number for number, _ in self.rows} - set(self.failed))

    @property
    def twice(self) -> list[int]:
        """Events that came out more than once, or as failed and with a value."""
        counted = Counter([*(number for number, _ in self.rows), *self.failed])
        return sorted(number for number, times in counted.items() if times > 1)

    @property
    def in_order(self) -> bool:
        """Whether events came in the order of the input."""
        return self.rows == sorted(self.rows)

    @property
    def clean(self) -> bool:
        """Whether every event came once, in order, as in a run without faults, or is named as failed."""
        return self.error is None and self.in_order and not (self.wrong or self.lost or self.twice)


def run(
    servers: list[str],
    events: int,
    actions: Mapping[int, Callable[[], None]] | None = None,
    *,
    service: Mapping[str, Any] | None = None,
    policy: ExceptionPolicy | None = None,
    block: int = 5,
    **client: Any,
) -> Outcome:
    """Run the job on some servers."""
    process = Process("CHAOS", block=block)
    if policy is not None:
        process.policy = policy
    process.source = EventSource({"x": np.arange(events)}, [(1, 1, number) for number in range(events)])
    process.inference = InferenceService(servers=servers, **(service or {}))
    process.happen = Happen()
    process.happen.actions = actions or {}
    process.double = Double(client=Client(**{**CLIENT, **client}))
    process.keep = Keep()
    process.path = ModulePath(process.happen)
    process.end = EndPath(process.keep)
    begin = perf_counter()
    report, error = None, None
    try:
        report = process.run()
    except EvprocError as raised:
        error = raised
    failed = [event.event for event in report.failed] if report is not None else []
    return Outcome(events, process.keep.rows, perf_counter() - begin, failed, error, report)


def write_repository(folder: Path, version: str = "1", factor: int = 2) -> Path:
    """A repository for a real Triton: `double` in Python, which multiplies by a factor."""
    model = folder / "double"
    (model / version).mkdir(parents=True)
    (model / "config.pbtxt").write_text(
        'backend: "python"\nmax_batch_size: 64\ninstance_group [{ count: 1 kind: KIND_CPU }]\n'
        'input [{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }]\noutput [{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }]\n'
    )
    code = f"""
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                answers = []
                for request in requests:
                    x = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "x"))
                    answers.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", {factor} * x)]))
                return answers
    """
    (model / version / "model.py").write_text(dedent(code))
    return folder
