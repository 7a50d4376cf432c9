"""The cost of watching: the job of `benchmarks.loop` with each observer that evproc brings, against the job without.

    python -m benchmarks.observing [--quick]

Ten modules that do nothing, so that what an observer takes is seen against the least that a job can take. Shares of CPU time
of the process, taken within each round.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Figure, arguments, by_size, in_turn, number, ratios, show
from benchmarks.loop import MODULES, job
from evproc.framework import Service
from evproc.modules import Memory, Timing, Tracer


def run_job(events: int, service: Service | None = None) -> Any:
    """Run the job, watched or not; returns its report."""
    process = job(events)
    if service is not None:
        process.watching = service
    report = process.run()
    assert report.module("m0").calls == events
    assert not report.warnings, report.warnings
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 400_000, 200_000, 2_000)
    rounds = by_size(options, 15, 7, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "trace.json"))
        series = in_turn(
            {
                "unwatched": lambda: run_job(events),
                "Timing": lambda: run_job(events, Timing()),
                "Tracer": lambda: run_job(events, Tracer(file=file)),
                "Memory": lambda: run_job(events, Memory()),
            },
            rounds,
        )
    plain = series["unwatched"]
    figures = [
        Figure(name.lower(), ratios(item.cpus, plain.cpus), *bars, True, what)
        for name, what, bars in (
            ("Timing", "CPU time timed / unwatched", (1.03, 1.01)),
            ("Tracer", "traced / unwatched", (1.15, 1.05)),
            ("Memory", "with memory watched / unwatched", (1.2, 1.1)),
        )
        for item in [series[name]]
    ]
    show(
        f"observing: {MODULES} modules that do nothing, {events:,} events, {rounds} rounds",
        ("side", "us/event", "CPU us/event", "CPU / unwatched"),
        [
            (
                name,
                number(1e6 * item.wall / events),
                number(1e6 * item.cpu / events),
                str(ratios(item.cpus, plain.cpus)),
            )
            for name, item in series.items()
        ],
        figures,
        ["The CPU time of a whole job, unwatched and watched, in turn."],
    )


if __name__ == "__main__":
    main()
