"""The limit of requests in flight that is found while the job runs, against the best fixed one.

    python -m benchmarks.adaptive [--quick]

Whole jobs on a fake server in a process of its own, which takes a given time for each request, one after the other, beside a
given latency. For each server fixed limits are tried, powers of two on both sides of where its knee is; the best of them and
the adaptive limit then run in turn. The adaptive job begins anew each time: the figure has its search in it.

    fast        2 ms of latency and 2 ms of computing: two requests in flight are enough
    slow        60 ms of latency, 4 ms of computing: it takes sixteen
    slower      20 ms of latency, 2 ms of computing, which become 8 ms after one half of the requests
    farther     5 ms of latency, which become 40 ms after one half, 2 ms of computing: for comparison, not part of `worst`
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np

from benchmarks.common import Figure, arguments, by_size, in_turn, number, ratios, show, spread, timed
from evproc.framework import Event, Flat, Path, Process
from evproc.modules import ArraySource
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceProducer, InferenceService, TensorSpec
from evproc.sonic_client.fake_process import FakeProcess

ROWS = 64
"""Rows of a request, which are as many events."""
LIMITS = {"fast": (1, 2, 4, 16), "slow": (8, 16, 32, 64), "slower": (4, 8, 16, 32), "farther": (8, 16, 32, 64)}
REST = 0.25
"""Seconds without a request after which another job has begun."""
F4 = np.dtype("f4")
SERVERS: dict[str, tuple[float, float, float, float]] = {
    "fast": (0.002, 0.002, 0.002, 0.002),
    "slow": (0.060, 0.060, 0.004, 0.004),
    "slower": (0.020, 0.020, 0.002, 0.008),
    "farther": (0.005, 0.040, 0.002, 0.002),
}
"""Name -> latency in the first and in the second half of the requests, and computing, s."""


class Halves:
    """Counts the requests of each job, and says which half one is in."""

    def __init__(self, requests: int) -> None:
        self.half, self.count, self.last = requests // 2, 0, 0.0

    def second(self) -> bool:
        """Whether the next request is in the second half."""
        now = monotonic()
        if now - self.last > REST:
            self.count = 0
        self.last = now
        self.count += 1
        return self.count > self.half


def make_server(name: str, requests: int) -> FakeServer:
    """The fake server of this name, for jobs of so many requests."""
    from evproc.sonic_client.fake_faults import Delay

    near, far, quick, slow = SERVERS[name]
    computing, travelling = Halves(requests), Halves(requests)

    def compute(rows: int) -> float:
        return slow if slow > quick and computing.second() else quick

    def delay(_: Any) -> Delay | None:
        return Delay(far - near) if far > near and travelling.second() else None

    x, y = TensorSpec("x", F4, (16,)), TensorSpec("y", F4, (1,))
    model = FakeModel("first", [x], [y], _first, max_batch_size=ROWS, latency=near, compute_time=compute)
    return FakeServer([model], faults=delay)


def _first(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": inputs["x"][:, :1]}


class First(InferenceProducer):
    """One row for each event."""

    consumes = ("x",)
    model_inputs = {"x": "float32[16]"}
    model_outputs = {"y": "float32[1]"}
    produces = "float32"

    def acquire(self, event: Event) -> Any:
        """The row of one event: (1, 16) float32."""
        return {"x": event["x"]}

    def produce(self, event: Event, outputs: Any) -> Any:
        """Its first number."""
        return outputs["y"][0, 0]


def run_job(source: ArraySource, url: str, limit: int | str) -> Any:
    """A job with so many requests in flight; returns its report."""
    process = Process("ADAPTIVE")
    process.source = source
    process.inference = InferenceService(servers=[url], in_flight=limit, shared_memory=False, poll=0.0)
    process.first = First(client=Client(model="first"))
    process.path = Path(process.first)
    report = process.run()
    assert report.module("first").calls == report.events
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Scan, measure, and print."""
    options = arguments(__doc__, argv)
    requests = by_size(options, 2000, 800, 20)
    rounds = by_size(options, 5, 3, 1)
    source = ArraySource({"x": Flat(np.random.default_rng(1).normal(size=(requests * ROWS, 1, 16)).astype("f4"))})
    figures, rows = [], []
    shares = {}
    for name in SERVERS:
        with FakeProcess(functools.partial(make_server, name, requests)) as server:
            run: Callable[[int | str], Any] = functools.partial(run_job, source, server.url)
            scan = {limit: timed(functools.partial(run, limit)).wall for limit in LIMITS[name]}
            best = min(scan, key=lambda limit: scan[limit])
            series = in_turn(
                {"best": functools.partial(run, best), "auto": functools.partial(run, "auto")}, rounds, warm_up=False
            )
        shares[name] = ratios(series["best"].walls, series["auto"].walls)
        (entry,) = series["auto"].results[-1].services["inference"]["servers"]
        rows.append(
            (
                name,
                str(best),
                number(requests / series["best"].wall),
                number(requests / series["auto"].wall),
                str(shares[name]),
                f"{entry['limit']}, at most {entry['peak']} in flight",
            )
        )
    worst = spread(
        [min(share.values[turn] for name, share in shares.items() if name != "farther") for turn in range(rounds)]
    )
    figures = [
        Figure(
            "worst", worst, 0.95, None, False, "throughput over that of the best fixed limit, worst server of a round"
        )
    ]
    show(
        f"adaptive: {requests:,} requests of {ROWS} rows a job, {rounds} rounds",
        ("server", "best fixed", "requests/s", "adaptive: requests/s", "ratio", "limit at the end"),
        rows,
        figures,
        ["Wall time of whole jobs, begin and end included; each adaptive job searches from the start."],
    )


if __name__ == "__main__":
    main()
