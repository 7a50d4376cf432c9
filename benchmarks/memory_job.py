"""The job of the memory benchmark, run in a process of its own: `python -m benchmarks.memory_job EVENTS CHUNK FILE ...`.

It writes one line of JSON: the resident memory (bytes) before and after the imports, then pairs (events done, resident
memory), sampled by a thread while the job runs. The largest value that the kernel saw is in `peak`.
"""

from __future__ import annotations

import json
import sys
import threading

import psutil

BEFORE = psutil.Process().memory_info().rss
PERIOD = 0.01  # s


def main(argv: list[str]) -> None:
    """Run the job, and say what memory it held."""
    from benchmarks.memory_modules import job

    chunk, server, files = int(argv[0]), argv[1], argv[2:]
    process, counter = job(files, chunk, server)
    this = psutil.Process()
    imported = this.memory_info().rss
    samples: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(PERIOD):
            samples.append((counter.events, this.memory_info().rss))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    report = process.run()
    ended.set()
    thread.join()
    print(
        json.dumps(
            {
                "before": BEFORE,
                "imported": imported,
                "samples": samples,
                "events": report.events,
                "wall_s": report.wall_s,
                "peak": round(report.peak_memory_mb * 1e6),
                "requests": sum(model["requests"] for model in report.services["inference"]["models"])
                if report.services
                else 0,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
