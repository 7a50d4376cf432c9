"""The module that compares found tracks with the particles, over a whole job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evproc.framework import Columns, Input, InputTag, Job, Parameter
from evproc.framework.new_files import in_one_step
from evproc.producers.pictures import PictureAnalyzer

from .detector import Array
from .display import draw_efficiency, draw_event
from .performance import Matched, match, performance_table, together


class TrackPerformance(PictureAnalyzer):
    """Efficiency, fake rate and purity of tracks, as a picture and a table; and the first event as a picture."""

    class Config(PictureAnalyzer.Config):
        """Tracks, the truth, and the files to write."""

        tracks: InputTag = Parameter("tracks", description="the track of each hit")
        hits: InputTag = Input("Hit", fields=("r", "phi", "z", "particle"), description="hits with their particles")
        particles: InputTag = Input("Particle", fields=("pt", "eta"), description="particles")
        plot: str = Parameter(description="file of the picture of efficiencies, PNG")
        table: str = Parameter("", description="file of the table, Markdown; empty: none")
        display: str = Parameter("", description="file of the picture of the first event with hits, PNG; empty: none")

    config: Config
    written = ("plot", "table", "display")

    def begin_job(self, job: Job) -> None:
        """Begin with no events."""
        self._events: list[Matched] = []
        self._first: tuple[Array, ...] | None = None

    def analyze_columns(self, columns: Columns) -> None:
        """Match the tracks of each event."""
        hits, particles = str(self.config.hits), str(self.config.particles)
        offsets, labels = columns.jagged(self.config.tracks)
        row = columns.jagged(f"{hits}_particle")[1]
        bounds, pt = columns.jagged(f"{particles}_pt")
        eta = columns.jagged(f"{particles}_eta")[1]
        for event in range(len(offsets) - 1):
            here = slice(offsets[event], offsets[event + 1])
            there = slice(bounds[event], bounds[event + 1])
            self._events.append(match(labels[here], row[here], pt[there], eta[there]))
            if self._first is None and len(labels[here]):
                places = (columns.jagged(f"{hits}_{name}")[1][here].copy() for name in ("r", "phi", "z"))
                self._first = (*places, labels[here].copy())

    def commit(self) -> None:
        """Write the pictures and the table, under temporary names first."""
        result = together(self._events)
        _write(self.config.plot, lambda path: draw_efficiency(result, path))
        _write(self.config.table, lambda path: path.write_text(performance_table(result) + "\n"))
        r, phi, z, labels = self._first or (*np.empty((3, 0), np.float32), np.empty(0, np.int64))
        _write(self.config.display, lambda path: draw_event(r, phi, z, labels, path))


def _write(name: str, write: Callable[[Path], object]) -> None:
    if name:
        with in_one_step(name) as part:
            write(part)
