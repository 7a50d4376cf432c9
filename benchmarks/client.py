"""The client against the yardsticks: Triton's own load generator, coffea's wrapper, and bare gRPC.

    python -m benchmarks.client [--quick]

Five rows of 16 floats per event go to a small network on one embedded Triton. The sides, in turn:

    evproc            a per-event `InferenceProducer` on events in memory; the whole job
    perf_analyzer     Triton's load generator in C++, requests of as many rows as evproc's had, at the best of its
                      concurrencies, over the socket or through shared memory, whichever is faster; it makes its rows once
                      and looks at no answer
    per event         `tritonclient.grpc.aio` with a request per event, at the best of several concurrencies; on fewer events
    evproc, ntuple    the producer on an ntuple, beside a module that burns 10 us of CPU for each event; the whole job
    coffea            a processor with coffea's `triton_wrapper` on the same ntuple that burns the same

    far               these two once more, with a fake server in the place of Triton, as far away as LATENCY says, which
                      computes nothing; for the table, without a bar

    vs_perf_analyzer      rows per second, evproc / perf_analyzer
    vs_coffea_triton      wall time, coffea / evproc, on the ntuple, chunks of 20,000 events
    vs_per_event          event rate, evproc / a request per event

Client and server share the cores of this machine. perf_analyzer says its own rate, its start is not in it.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.client_coffea import run_coffea, run_evproc, write
from benchmarks.common import Figure, arguments, by_size, in_turn, number, ratios, show
from benchmarks.inference import CONCURRENCIES, MAX_BATCH, ROWS, best, run_job, send
from benchmarks.mlp import LAYERS, NAME, write_repository
from benchmarks.overlap import MAX_BATCH as FAR_BATCH
from benchmarks.overlap import make_server
from benchmarks.perf_analyzer import Load, install, rows_per_second
from evproc.framework import Flat
from evproc.modules import ArraySource
from evproc.sonic_client import EmbeddedServer
from evproc.sonic_client.fake_process import FakeProcess

CHUNK = 20_000
LATENCY = 0.03
"""Of the server that is far away, s."""
LOADS = [Load(concurrency, shared) for shared in (False, True) for concurrency in (1, 2, 4, 8, 16)]


def main(argv: Sequence[str] | None = None) -> None:
    """Start Triton, measure, and print."""
    options = arguments(__doc__, argv)
    try:
        import coffea.ml_tools  # noqa: F401  # it needs tritonclient[http] too
    except (ImportError, RuntimeError) as error:
        raise SystemExit(
            f"this benchmark needs coffea and its clients ({error}): pip install 'evproc[bench]'"
        ) from error
    install()
    events = by_size(options, 200_000, 100_000, 2_000)
    few = by_size(options, 4_000, 2_000, 50)
    rounds = by_size(options, 7, 3, 1)
    x = np.random.default_rng(2).normal(size=(events, ROWS, LAYERS[0])).astype(np.float32)
    flat = x.reshape(-1, LAYERS[0])
    source = ArraySource({"x": Flat(x)})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evproc-client-")))
        file = write(folder / "rows.root", x)
        far = stack.enter_context(FakeProcess(functools.partial(make_server, LATENCY, 0.0))).url
        url = stack.enter_context(EmbeddedServer(write_repository(folder / "models", MAX_BATCH))).url
        report, scores = run_job(source, url, check=True)
        (model,) = report.services["inference"]["models"]
        rows = min(MAX_BATCH, max(1, round(model["rows_per_request"])))
        requests = max(by_size(options, 300, 200, 2), events * ROWS // rows)
        loads = by_size(options, LOADS, LOADS, LOADS[:1])
        rates = {load: rows_per_second(url, NAME, rows, load, requests) for load in loads}
        load = max(rates, key=lambda load: rates[load])
        concurrency = best(CONCURRENCIES, lambda n: asyncio.run(send(flat[: few * ROWS], url, ROWS, n)), 1)
        series = in_turn(
            {
                "evproc": lambda: run_job(source, url)[0],
                "perf_analyzer": lambda: rows_per_second(url, NAME, rows, load, requests),
                "a request per event": lambda: asyncio.run(send(flat[: few * ROWS], url, ROWS, concurrency)),
                "evproc, ntuple": lambda: run_evproc(file, url, CHUNK),
                "coffea triton_wrapper": lambda: run_coffea(file, url, CHUNK),
                "evproc, ntuple, far": lambda: run_evproc(file, far, CHUNK, "weigh"),
                "coffea triton_wrapper, far": lambda: run_coffea(file, far, CHUNK, "weigh"),
            },
            rounds,
        )
    for total, count in (*series["evproc, ntuple"].results, *series["coffea triton_wrapper"].results):
        assert count == len(scores)
        np.testing.assert_allclose(total, scores.sum(dtype=np.float64), rtol=1e-5)
    sums = [series[f"{name}, far"].results for name in ("evproc, ntuple", "coffea triton_wrapper")]
    np.testing.assert_allclose(*sums, rtol=1e-6)
    ours, single = series["evproc"], series["a request per event"]
    for result in single.results:
        np.testing.assert_allclose(scores[: len(result)], result, rtol=1e-5, atol=1e-6)
    generator = [len(flat) / rate for rate in series["perf_analyzer"].results]
    share = few / events
    coffea_ratio = ratios(series["coffea triton_wrapper"].walls, series["evproc, ntuple"].walls)
    far_ratio = ratios(series["coffea triton_wrapper, far"].walls, series["evproc, ntuple, far"].walls)
    figures = [
        Figure(
            "vs_perf_analyzer", ratios(generator, ours.walls), 0.7, 0.95, False, "rows per second / perf_analyzer's"
        ),
        Figure("vs_coffea_triton", coffea_ratio, 2, 4, False, "coffea's wall time / evproc's, CPU work beside it"),
        Figure(
            "vs_per_event",
            ratios([wall / share for wall in single.walls], ours.walls),
            20,
            40,
            False,
            "event rate / that of a request per event",
        ),
    ]
    walls = {name: (item.wall, few if item is single else events) for name, item in series.items()}
    walls["perf_analyzer"] = sorted(generator)[len(generator) // 2], events
    (model,) = ours.results[-1].services["inference"]["models"]
    parts = " ".join(
        f"{name} {1000 * (model[key] or 0):.1f}"
        for name, key in (
            ("waits here", "waiting_s"),
            ("wire", "wire_s"),
            ("server queue", "server_queue_s"),
            ("server compute", "server_compute_s"),
        )
    )
    memory = "shared memory" if load.shared_memory else "the socket"
    show(
        f"client: {ROWS} rows of {LAYERS[0]} floats per event, embedded Triton; {events:,} events, {rounds} rounds",
        ("side", "events", "krows/s", "us/event"),
        [
            (name, f"{count:,}", number(count * ROWS / wall / 1000), number(1e6 * wall / count))
            for name, (wall, count) in walls.items()
        ],
        figures,
        [
            f"evproc: {model['requests']} requests of {model['rows_per_request']:,.0f} rows; ms of a request: {parts}.",
            f"perf_analyzer: {rows:,} rows in a request, {load.concurrency} in flight, through {memory}.",
            f"A request per event: {concurrency} in flight. coffea: requests of {MAX_BATCH:,} rows.",
            f"{1000 * LATENCY:g} ms away, requests of {FAR_BATCH:,} rows: coffea's wall time / evproc's {far_ratio}.",
        ],
    )


if __name__ == "__main__":
    main()
