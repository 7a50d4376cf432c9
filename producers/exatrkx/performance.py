"""How good found tracks are: efficiency, purity, fake rate, against the particles that left the hits.

Matching is by double majority, as in the TrackML challenge (Amrouche et al., arXiv:1904.06778, section on the score): a track
belongs to a particle if more than half of the track's hits are the particle's, and more than half of the particle's
hits are on the track. Then each track has one particle at most, and each particle one track at most.

    track        a label with at least `LEAST_HITS` hits; shorter ones count as nothing found
    particle     counts if it left at least `LEAST_HITS` hits
    efficiency   matched particles / particles
    fake rate    tracks that match no particle, short or slow ones included / tracks
    purity       hits of the matched particle / hits, over the matched tracks together
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .detector import Array

LEAST_HITS = 5
"""Fewer hits are no track."""
PT_EDGES: tuple[float, ...] = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Bins of transverse momentum, GeV."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Particles that count, with whether each was found; and the number of tracks; of one event or several."""

    pt: Array
    """pt: (particles,) float32, GeV"""
    eta: Array
    """eta: (particles,) float32"""
    found: Array
    """found: (particles,) bool"""
    tracks: int
    """Labels with enough hits."""
    matched: int
    """Tracks that match a particle, whether or not that counts."""
    hits: int
    """Hits on matched tracks."""
    right: int
    """Those of them that are of the matched particle."""

    @property
    def fake_rate(self) -> float:
        """Tracks that match no particle, as a fraction; NaN without tracks."""
        return 1.0 - self.matched / self.tracks if self.tracks else float("nan")

    @property
    def purity(self) -> float:
        """Hits of the matched particle, as a fraction of the hits of matched tracks; NaN without any."""
        return self.right / self.hits if self.hits else float("nan")

    def efficiency(self, low: float = 0.0, high: float = np.inf) -> tuple[float, float, int]:
        """Efficiency for pT from `low` to `high` GeV, its binomial error, and the number of particles; NaN without any."""
        inside = self.found[(self.pt >= low) & (self.pt < high)]
        if not len(inside):
            return float("nan"), float("nan"), 0
        value = float(inside.mean())
        return value, float(np.sqrt(value * (1.0 - value) / len(inside))), len(inside)


def match(labels: Array, particle: Array, pt: Array, eta: Array, least_hits: int = LEAST_HITS) -> Matched:
    """Match the tracks of one event to its particles, by double majority.

    labels:   (hits,) int64, the track of each hit, not negative
    particle: (hits,) int32, row of the particle, -1 for noise
    pt, eta:  (particles,) float32, GeV
    """
    on_track = np.bincount(labels, minlength=1)
    of_particle = np.bincount(particle[particle >= 0], minlength=len(pt))
    true = particle >= 0
    pairs, shared = np.unique(np.stack([labels[true], particle[true]]), axis=1, return_counts=True)
    track, row = pairs
    good = (2 * shared > on_track[track]) & (2 * shared > of_particle[row]) & (on_track[track] >= least_hits)
    found = np.zeros(len(pt), bool)
    found[row[good]] = True
    counts = of_particle >= least_hits
    return Matched(
        pt[counts],
        eta[counts],
        found[counts],
        tracks=int((on_track >= least_hits).sum()),
        matched=int(good.sum()),
        hits=int(on_track[track[good]].sum()),
        right=int(shared[good].sum()),
    )


def together(events: Sequence[Matched]) -> Matched:
    """Several events as one."""
    empty = np.empty(0, np.float32)
    return Matched(
        np.concatenate([empty, *(event.pt for event in events)]),
        np.concatenate([empty, *(event.eta for event in events)]),
        np.concatenate([np.empty(0, bool), *(event.found for event in events)]),
        *(sum(getattr(event, name) for event in events) for name in ("tracks", "matched", "hits", "right")),
    )


def performance_table(result: Matched, edges: Sequence[float] = PT_EDGES) -> str:
    """A Markdown table: efficiency by pT, then the sums."""
    lines = ["| pT, GeV | particles | efficiency |", "|---|---|---|"]
    rows = [(f"{low:g}-{high:g}", low, high) for low, high in pairwise(edges)]
    for name, low, high in [*rows, ("above 1", 1.0, np.inf), ("all", 0.0, np.inf)]:
        value, error, particles = result.efficiency(low, high)
        lines.append(f"| {name} | {particles} | {value:.4f} +- {error:.4f} |")
    lines.append(f"\n{result.tracks} tracks, fake rate {result.fake_rate:.4f}, purity of hits {result.purity:.4f}")
    return "\n".join(lines)
