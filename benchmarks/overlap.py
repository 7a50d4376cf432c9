"""How well computing hides the network: modules that use the CPU, beside a model that is far away.

    python -m benchmarks.overlap [--quick]

Three per-event modules burn the CPU, about 100 us an event in all, one before the inference and two that do not need
it; then a fourth takes the scores. The model is on a fake server in a process of its own, which adds 0, 10 or 60 ms to
each answer, to all at the same time, as a network does, and computes by waiting, one request after another, as a GPU
does.

    latency_10ms, latency_60ms    throughput at that latency, over that without; the server computes for half the time
                                  of the modules
    vs_ideal                      time over max(CPU time alone, server time alone), at 10 ms, where the server takes
                                  as long as the modules. CPU alone: the same job with a module in the place of the
                                  inference that returns what that would. Server alone: the job without the modules
                                  that burn

The time of a job is its CPU time and the time when it could only wait: on a machine with nothing else to do that is its
wall time, and other programs do not move it much. The modules burn a fixed CPU time, so that a core that is slow for a
while does not count. What other programs take makes the server, which waits, look faster: the wall time shows it.
The fake server is a process of this machine too and takes CPU of it; it receives few large requests, so that this is little.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import sqrt
from time import thread_time
from typing import Any

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show, spread
from evproc.framework import Analyzer, EndPath, Event, Flat, Job, Parameter, Path, Process, Producer, Report
from evproc.modules import ArraySource
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceProducer, InferenceService, TensorSpec
from evproc.sonic_client.fake_process import FakeProcess

ROWS, WIDTH = 5, 16
MAX_BATCH = 2048
BURN = 35e-6
"""CPU time of one of the burning modules per event, s."""
MODULES = 3


def weigh(inputs: dict[str, Any]) -> dict[str, Any]:
    """The model: the first input of each row, doubled. (Exact, and cheap.)"""
    return {"y": 2 * inputs["x"][:, :1]}


def make_server(latency: float, per_row: float) -> FakeServer:
    """A server that adds `latency` to each answer, and computes for `per_row` on each row; s."""
    x = TensorSpec("x", np.dtype("float32"), (WIDTH,))
    y = TensorSpec("y", np.dtype("float32"), (1,))

    def busy(rows: int) -> float:
        return per_row * rows

    model = FakeModel("weigh", [x], [y], weigh, max_batch_size=MAX_BATCH, latency=latency, compute_time=busy)
    return FakeServer([model])


def burn(seconds: float) -> None:
    """Compute in plain Python for so much CPU time of this thread, however fast the core is at the moment."""
    end = thread_time() + seconds
    while thread_time() < end:
        total = 0.0
        for turn in range(20):
            total += sqrt(turn)


class Burner(Producer):
    """Uses the CPU."""

    consumes = ("x",)
    produces = "float64"

    class Config(Producer.Config):
        """How much."""

        burn: float = Parameter(0.0, description="CPU time for an event", unit="s", ge=0)

    def produce(self, event: Event) -> float:
        """A number that depends on the event."""
        if self.config.burn:
            burn(self.config.burn)
        return float(event["x"][0, 0])


class Scores(InferenceProducer):
    """Five scores for each event."""

    consumes = ("x", "before")
    model_inputs = {"x": f"float32[{WIDTH}]"}
    model_outputs = {"y": "float32[1]"}
    produces = "var * float32"

    def acquire(self, event: Event) -> Mapping[str, Any]:
        """The rows of one event: (5, 16) float32."""
        return {"x": event["x"]}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        """Its scores: (5,) float32."""
        return outputs["y"][:, 0]


class NoScores(Producer):
    """Stands in the place of the inference."""

    consumes = ("x", "before")
    produces = "var * float32"

    def produce(self, event: Event) -> Any:
        """What the inference would give."""
        return 2 * event["x"][:, 0]


class Sum(Analyzer):
    """Adds up the scores."""

    consumes = ("scores", "after0", "after1")

    def begin_job(self, job: Job) -> None:
        """Nothing yet."""
        self.total = 0.0

    def analyze(self, event: Event) -> None:
        """Take the first score of the event."""
        self.total += float(event["scores"][0])


def run_job(source: ArraySource, seconds: float, url: str = "") -> tuple[Report, float]:
    """The job; returns its report and its result. No `url`: without inference."""
    process = Process("OVERLAP")
    process.source = source
    process.before = Burner(burn=seconds)
    if url:
        process.inference = InferenceService(servers=[url])
        process.scores = Scores(client=Client(model="weigh"))
    else:
        process.scores = NoScores()
    process.after0 = Burner(burn=seconds)
    process.after1 = Burner(burn=seconds)
    process.sum = Sum()
    process.path = Path("before", "scores", "after0", "after1")
    process.end = EndPath(process.sum)
    return process.run(), process.sum.total


def main(argv: Sequence[str] | None = None) -> None:
    """Start the servers, measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 16_000, 8_000, 300)
    longer = by_size(options, 32_000, 16_000, 300)
    rounds = by_size(options, 3, 2, 1)
    x = np.random.default_rng(3).normal(size=(longer, ROWS, WIDTH)).astype(np.float32)
    short, long = ArraySource({"x": Flat(x[:events])}), ArraySource({"x": Flat(x)})
    per_event = MODULES * BURN
    with ExitStack() as stack:

        def server(latency: float, share: float) -> str:
            make = functools.partial(make_server, latency, share * per_event / ROWS)
            return stack.enter_context(FakeProcess(make)).url

        near, middle, far = (server(latency, 0.5) for latency in (0.0, 0.010, 0.060))
        loaded = server(0.010, 1.0)
        latencies = in_turn(
            {
                "no latency": lambda: run_job(short, BURN, near),
                "10 ms": lambda: run_job(short, BURN, middle),
                "60 ms": lambda: run_job(short, BURN, far),
            },
            rounds,
            warm_up=False,
        )
        ideal = in_turn(
            {
                "modules and model": lambda: run_job(long, BURN, loaded),
                "CPU alone": lambda: run_job(long, BURN),
                "server alone": lambda: run_job(long, 0.0, loaded),
            },
            rounds,
            warm_up=False,
        )
    for series in (latencies, ideal):
        results = {total for item in series.values() for _, total in item.results}
        if len(results) != 1:
            raise AssertionError(f"the jobs do not agree: {results}")
    none = _times(latencies["no latency"])
    both, cpu, alone = (_times(item) for item in ideal.values())
    bound = [max(pair) for pair in zip(cpu, alone, strict=True)]
    figures = [
        Figure("latency_10ms", ratios(none, _times(latencies["10 ms"])), 0.95, 0.99, False, "throughput / at 0 ms"),
        Figure("latency_60ms", ratios(none, _times(latencies["60 ms"])), 0.95, 0.99, False, "throughput / at 0 ms"),
        Figure("vs_ideal", ratios(both, bound), 1.10, 1.03, True, "time / max(CPU alone, server alone)"),
    ]
    show(
        f"overlap: {1e6 * per_event:.0f} us of modules an event, beside a fake server; {rounds} rounds",
        ("job", "events", "wall s", "time us/event", "CPU us/event", "waited us/event", "requests", "rows each"),
        [
            *(_row(name, item, events) for name, item in latencies.items()),
            *(_row(name, item, longer) for name, item in ideal.items()),
        ],
        figures,
        ["Client and server share the cores of this machine; the fake server computes by waiting."],
    )


def _times(item: Series) -> list[float]:
    """CPU time of each job, and the time when it could only wait, s."""
    waited = [report.waiting_external_s + report.waiting_input_s for report, _ in item.results]
    return [cpu + wait for cpu, wait in zip(item.cpus, waited, strict=True)]


def _row(name: str, item: Series, events: int) -> tuple[str, ...]:
    time = spread(_times(item)).median
    report: Report = item.results[-1][0]
    models = [model for service in report.services.values() for model in service["models"]]
    return (
        name,
        f"{events:,}",
        number(item.wall),
        number(1e6 * time / events),
        number(1e6 * item.cpu / events),
        number(1e6 * report.waiting_external_s / events),
        f"{models[0]['requests']}" if models else "-",
        f"{models[0]['rows_per_request']:.0f}" if models else "-",
    )


if __name__ == "__main__":
    main()
