"""coffea's Runner and evproc, the same dimuon selection on the same file.

    python -m benchmarks.coffea [--quick]

An ntuple of 60 branches, zstd, 20,000 events per basket; four fields of the muons are read, and a histogram of the masses
is filled (dimuon_modules.py, dimuon_coffea.py). coffea runs in this process (`IterativeExecutor`), with `NanoAODSchema`, as
most of its users do, and with `BaseSchema`, which does less; each ratio is taken to the faster of the two in its round.

    columnar_20k, columnar_100k    columnar modules of evproc, chunks of 20,000 and of 100,000 events
    per_event_20k                  modules that are called for each event
    compiled_20k                   the same, as machine code

Jobs are measured whole, but for the first compilation, which is kept between jobs. Both read with uproot. The histograms
must be equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show
from benchmarks.dimuon_modules import run_evproc
from benchmarks.nanoaod_like import write

SMALL, LARGE = 20_000, 100_000
BARS = {
    "columnar": ((SMALL, 1.5, 3.0), (LARGE, 1.0, 1.5)),
    "per event": ((SMALL, 1.0, 2.0),),
    "compiled": ((SMALL, 1.5, 3.5),),
}
"""Dress -> (events per chunk, bar, goal)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the ntuple, measure, and print."""
    options = arguments(__doc__, argv)
    try:
        from benchmarks.dimuon_coffea import run_coffea
    except ModuleNotFoundError as error:
        raise SystemExit(f"this benchmark needs coffea ({error}): pip install 'evproc[bench]'") from error
    events = by_size(options, 400_000, 200_000, 2_000)
    rounds = by_size(options, 7, 3, 1)
    series: dict[int, dict[str, Series]] = {}
    with tempfile.TemporaryDirectory(prefix="evproc-coffea-") as folder:
        path = str(write(Path(folder) / "nanoaod_like.root", events))
        for chunk in (SMALL, LARGE):
            sides: dict[str, Callable[[], Any]] = {
                "coffea, NanoAODSchema": lambda chunk=chunk: run_coffea(path, chunk, nano=True),
                "coffea, BaseSchema": lambda chunk=chunk: run_coffea(path, chunk, nano=False),
            }
            for dress, bars in BARS.items():
                if any(at == chunk for at, _, _ in bars):
                    sides[f"evproc, {dress}"] = lambda chunk=chunk, dress=dress: run_evproc(path, chunk, dress)
            series[chunk] = in_turn(sides, rounds)
    found = [result for sides in series.values() for item in sides.values() for result in item.results]
    if any(count != events or histogram.view().tolist() != found[0][1].view().tolist() for count, histogram in found):
        raise AssertionError("the two sides do not find the same")
    figures = []
    for dress, bars in BARS.items():
        for chunk, bar, goal in bars:
            peer = _faster(series[chunk])
            ratio = ratios(peer, series[chunk][f"evproc, {dress}"].walls)
            name = f"{dress.replace(' ', '_')}_{chunk // 1000}k"
            figures.append(
                Figure(name, ratio, bar, goal, False, f"{dress}, rate / that of coffea, chunks of {chunk:,}")
            )
    show(
        f"coffea: dimuon selection with a histogram, {events:,} events, {rounds} rounds",
        ("side", "chunk", "kev/s", "us/event", "CPU us/event", "rate / coffea's"),
        [_row(name, chunk, item, sides, events) for chunk, sides in series.items() for name, item in sides.items()],
        figures,
        [f"{int(found[0][1].sum(flow=True)):,} of {events:,} events are selected."],
    )


def _faster(sides: dict[str, Series]) -> list[float]:
    """The time of the faster coffea in each round."""
    walls = [item.walls for name, item in sides.items() if name.startswith("coffea")]
    return [min(both) for both in zip(*walls, strict=True)]


def _row(name: str, chunk: int, item: Series, sides: dict[str, Series], events: int) -> tuple[str, ...]:
    return (
        name,
        f"{chunk:,}",
        number(events / item.wall / 1000),
        number(1e6 * item.wall / events),
        number(1e6 * item.cpu / events),
        str(ratios(_faster(sides), item.walls)),
    )


if __name__ == "__main__":
    main()
