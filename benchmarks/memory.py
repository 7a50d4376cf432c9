"""The memory of a job over a million events: how much, and whether it grows.

    python -m benchmarks.memory [--quick]

Two jobs, each in a process of its own, read an ntuple of 200,000 events five times, 20,000 events per chunk, with per-
event modules: one without inference, one that sends each jet to a model on a fake server (5 ms latency) in yet another
process. A thread samples the resident memory every 10 ms. `peak_mb` is the largest that the kernel saw in either job,
imports included; `growth` the peak of the last quarter of the events over that of the second quarter, of the job that
grows more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Figure, arguments, by_size, number, show, spread
from benchmarks.memory_modules import make_server
from benchmarks.nanoaod_like import write
from evproc.sonic_client.fake_process import FakeProcess

CHUNK = 20_000
MEGABYTE = 1e6


def run(files: list[str], server: str) -> dict[str, Any]:
    """Run the job in a process of its own; returns what it says."""
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "benchmarks.memory_job", str(CHUNK), server, *files]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the job failed:\n{done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def peaks(samples: list[list[int]], events: int) -> list[float]:
    """The largest resident memory in each quarter of the events, MB."""
    found = [0.0] * 4
    for done, memory in samples:
        quarter = min(3, 4 * done // events)
        found[quarter] = max(found[quarter], memory / MEGABYTE)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 200_000, 100_000, 20_000)
    passes = by_size(options, 5, 4, 2)
    total = events * passes
    with (
        tempfile.TemporaryDirectory(prefix="evproc-memory-") as folder,
        FakeProcess(make_server) as server,
    ):
        file = str(write(Path(folder) / "nanoaod_like.root", events))
        jobs = {"modules": run([file] * passes, "-"), "modules and inference": run([file] * passes, server.url)}
    rows, growths = [], []
    for name, said in jobs.items():
        if said["events"] != total:
            raise AssertionError(f"{said['events']} of {total} events were seen")
        quarters = peaks(said["samples"], total)
        growths.append(quarters[3] / quarters[1] if quarters[1] else float("nan"))
        memory = [said["before"] / MEGABYTE, said["imported"] / MEGABYTE, *quarters, said["peak"] / MEGABYTE]
        rows.append((name, *(f"{value:.0f}" for value in memory), number(growths[-1]), number(said["wall_s"])))
    figures = [
        Figure(
            "peak_mb",
            spread([max(said["peak"] for said in jobs.values()) / MEGABYTE]),
            250,
            200,
            True,
            "largest resident memory, imports included",
            "MB",
        ),
        Figure("growth", spread([max(growths)]), 1.05, None, True, "peak of the 4th quarter / of the 2nd"),
    ]
    show(
        f"memory: {passes} x {events:,} events, {CHUNK:,} per chunk",
        ("job", "start MB", "imported", "1st quarter", "2nd", "3rd", "4th", "peak MB", "growth", "s"),
        rows,
        figures,
        [
            "`start`: the interpreter with psutil. `imported`: with NumPy and the modules; uproot comes with the first file."
        ],
    )


if __name__ == "__main__":
    main()
