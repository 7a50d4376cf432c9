"""Inference on a real Triton, against clients that one would write with tritonclient.

    python -m benchmarks.inference [--quick]

Five rows of 16 floats per event, in memory, go to a small network on the embedded Triton; each event gets its five
outputs. Three sides, whose outputs must agree:

    evproc         a per-event `InferenceProducer`: `acquire` returns the rows of one event, `produce` its outputs;
                   the whole job
    per event      `tritonclient.grpc.aio`, a request per event, at the best of several concurrencies; on fewer events,
                   as it is slow
    columnar       `tritonclient.grpc.aio`, all rows in requests of as many rows as evproc's had, at the best number of
                   requests in flight; no events, no products: rows out, outputs in

Client and server share the cores of this machine.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show, timed
from benchmarks.mlp import LAYERS, NAME, write_repository
from evproc.framework import Analyzer, Columns, EndPath, Event, Flat, Job, Path, Process
from evproc.modules import ArraySource
from evproc.sonic_client import Client, EmbeddedServer, InferenceProducer, InferenceService

ROWS = 5
"""Rows of an event."""
MAX_BATCH = 8192
CONCURRENCIES = (8, 32, 64, 128)
IN_FLIGHT = (1, 2, 4, 8)


class Scores(InferenceProducer):
    """Five scores for each event."""

    consumes = ("x",)
    model_inputs = {"x": f"float32[{LAYERS[0]}]"}
    model_outputs = {"y": "float32[1]"}
    produces = "var * float32"

    def acquire(self, event: Event) -> Mapping[str, Any]:
        """The rows of one event: (5, 16) float32."""
        return {"x": event["x"]}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        """Its scores: (5,) float32."""
        return outputs["y"].ravel()


class Collector(Analyzer):
    """Keeps all scores; for the check that is not timed."""

    consumes = ("scores",)

    def begin_job(self, job: Job) -> None:
        """Nothing kept yet."""
        self.pieces: list[Any] = []

    def analyze_columns(self, columns: Columns) -> None:
        """Keep those of a block."""
        self.pieces.append(columns.jagged("scores")[1])


def run_job(source: ArraySource, url: str, *, check: bool = False) -> tuple[Any, Any]:
    """The job; returns its report, and the scores if they are to be checked."""
    process = Process("INFERENCE")
    process.source = source
    process.inference = InferenceService(servers=[url])
    process.scores = Scores(client=Client(model=NAME))
    process.path = Path(process.scores)
    if check:
        process.collector = Collector()
        process.end = EndPath(process.collector)
    report = process.run()
    assert report.module("scores").calls == report.events
    return report, np.concatenate(process.collector.pieces) if check else None


async def send(x: Any, url: str, rows: int, concurrency: int) -> Any:
    """Send all rows with tritonclient, `rows` in a request, `concurrency` requests in flight; returns the outputs, in order.

    x: (all rows, 16) float32.
    """
    import tritonclient.grpc.aio as triton

    client = triton.InferenceServerClient(url.removeprefix("grpc://"))
    wanted = [triton.InferRequestedOutput("y")]
    answers: list[Any] = [None] * -(-len(x) // rows)
    starts = iter(range(0, len(x), rows))

    async def worker() -> None:
        for start in starts:
            part = x[start : start + rows]
            tensor = triton.InferInput("x", part.shape, "FP32")
            tensor.set_data_from_numpy(part)
            answer: Any = await client.infer(NAME, [tensor], outputs=wanted)
            answers[start // rows] = answer.as_numpy("y")

    try:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    finally:
        await client.close()
    return np.concatenate(answers)[:, 0]


def best(candidates: Sequence[int], run: Callable[[int], Any], rounds: int) -> int:
    """The candidate with the shortest time."""
    times = {
        candidate: min(timed(functools.partial(run, candidate)).wall for _ in range(rounds)) for candidate in candidates
    }
    return min(times, key=lambda candidate: times[candidate])


def main(argv: Sequence[str] | None = None) -> None:
    """Start Triton, measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 200_000, 100_000, 2_000)
    few = by_size(options, 4_000, 2_000, 50)
    rounds = by_size(options, 7, 3, 1)
    x = np.random.default_rng(2).normal(size=(events, ROWS, LAYERS[0])).astype(np.float32)
    flat = x.reshape(-1, LAYERS[0])
    source = ArraySource({"x": Flat(x)})
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="evproc-inference-"))
        url = stack.enter_context(EmbeddedServer(write_repository(FilePath(folder), MAX_BATCH))).url
        report, scores = run_job(source, url, check=True)
        (model,) = report.services["inference"]["models"]
        rows = min(MAX_BATCH, max(1, round(model["rows_per_request"])))
        concurrency = best(CONCURRENCIES, lambda n: asyncio.run(send(flat[: few * ROWS], url, ROWS, n)), 1)
        in_flight = best(IN_FLIGHT, lambda n: asyncio.run(send(flat, url, rows, n)), 2)
        series = in_turn(
            {
                "evproc": lambda: run_job(source, url)[0],
                "columnar client": lambda: asyncio.run(send(flat, url, rows, in_flight)),
                "a request per event": lambda: asyncio.run(send(flat[: few * ROWS], url, ROWS, concurrency)),
            },
            rounds,
        )
    for result in (*series["columnar client"].results, *series["a request per event"].results):
        np.testing.assert_allclose(scores[: len(result)], result, rtol=1e-5, atol=1e-6)
    ours, columnar, single = series["evproc"], series["columnar client"], series["a request per event"]
    share = few / events
    figures = [
        Figure(
            "vs_per_event",
            ratios([wall / share for wall in single.walls], ours.walls),
            20,
            40,
            False,
            "event rate / that of a request per event",
        ),
        Figure("vs_columnar", ratios(columnar.walls, ours.walls), 0.6, 0.9, False, "event rate / columnar client's"),
    ]
    report = ours.results[-1]
    (model,) = report.services["inference"]["models"]
    sent = f"{model['requests']} requests of {model['rows_per_request']:,.0f} rows"
    show(
        f"inference: {ROWS} rows of {LAYERS[0]} floats per event, embedded Triton; {events:,} events, {rounds} rounds",
        ("side", "events", "kev/s", "us/event", "CPU us/event"),
        [
            _row("evproc", ours, events),
            _row("columnar client", columnar, events),
            _row("a request per event", single, few),
        ],
        figures,
        [
            f"evproc: {sent}, median latency {1000 * model['latency_median_s']:.1f} ms. {report.limit}",
            f"columnar client: {rows:,} rows in a request, {in_flight} in flight.",
            f"A request per event: {concurrency} in flight.",
            "Client and server share the cores; CPU is that of the client.",
        ],
    )


def _row(name: str, item: Series, events: int) -> tuple[str, ...]:
    rate = number(events / item.wall / 1000)
    return name, f"{events:,}", rate, number(1e6 * item.wall / events), number(1e6 * item.cpu / events)


if __name__ == "__main__":
    main()
