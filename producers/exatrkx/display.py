"""Pictures: one event with its tracks, and efficiency against transverse momentum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError

from .detector import LAYERS, Array
from .performance import LEAST_HITS, PT_EDGES, Matched


def draw_event(r: Array, phi: Array, z: Array, labels: Array, path: Path, title: str = "") -> None:
    """Draw an event across and along the beam: tracks as coloured lines, hits without a track in grey.

    r, phi, z: (hits,) float32, mm, rad, mm
    labels:    (hits,) int64, the track of each hit; one of fewer than five hits is no track
    raises:    OutputError if the extra `plot` is not installed
    """
    figure, axes = _figure((13.0, 6.0), [1.0, 1.4])
    across, along = axes
    x, y = r * np.cos(phi), r * np.sin(phi)
    for layer in LAYERS:
        if layer.barrel:
            along.plot([-layer.high, layer.high], [layer.at] * 2, color="0.9", linewidth=0.8, zorder=0)
            across.add_patch(_circle(layer.at))
        else:
            along.plot([layer.at] * 2, [layer.low, layer.high], color="0.9", linewidth=0.8, zorder=0)
    size = np.bincount(labels, minlength=1)
    alone = size[labels] < LEAST_HITS
    across.plot(x[alone], y[alone], ".", color="0.6", markersize=3)
    along.plot(z[alone], r[alone], ".", color="0.6", markersize=3, label="hits without a track")
    order = np.argsort(np.square(r) + np.square(z), kind="stable")
    for number, label in enumerate(np.flatnonzero(size >= LEAST_HITS)):
        track = order[labels[order] == label]
        style: dict[str, Any] = {"color": f"C{number % 10}", "linewidth": 0.8, "marker": ".", "markersize": 3}
        across.plot(x[track], y[track], **style)
        along.plot(z[track], r[track], **style)
    across.set(xlabel="x, mm", ylabel="y, mm", aspect="equal")
    along.set(xlabel="z, mm", ylabel="r, mm")
    along.legend(loc="upper right", frameon=False)
    figure.suptitle(title or f"{len(r)} hits, {int((size >= LEAST_HITS).sum())} tracks")
    figure.savefig(path, dpi=110, format="png")


def draw_efficiency(result: Matched, path: Path, edges: Sequence[float] = PT_EDGES) -> None:
    """Draw efficiency against pT and eta, with binomial errors. Raises OutputError if the extra `plot` is not installed."""
    figure, axes = _figure((10.0, 4.5), [1.0, 1.0])
    bins = list(pairwise(edges))
    _points(axes[0], bins, [result.efficiency(low, high) for low, high in bins])
    fast = result.pt >= 1.0
    etas = list(pairwise(np.linspace(-3.0, 3.0, 13).tolist()))
    inside = [(result.eta >= low) & (result.eta < high) & fast for low, high in etas]
    _points(axes[1], etas, [_fraction(result.found[mask]) for mask in inside])
    axes[0].set(xscale="log", xlabel="pT, GeV", ylabel="efficiency", ylim=(0.0, 1.05))
    axes[1].set(xlabel="eta, pT above 1 GeV", ylim=(0.0, 1.05))
    figure.suptitle(f"fake rate {result.fake_rate:.3f}, purity of hits {result.purity:.3f}, {result.tracks} tracks")
    figure.savefig(path, dpi=110, format="png")


def _fraction(found: Array) -> tuple[float, float, int]:
    value = float(found.mean()) if len(found) else float("nan")
    return value, float(np.sqrt(value * (1.0 - value) / max(1, len(found)))), len(found)


def _points(axis: Any, bins: Sequence[tuple[float, float]], values: Sequence[tuple[float, float, int]]) -> None:
    drawn = [(low, high, *value) for (low, high), value in zip(bins, values, strict=True) if value[2]]
    if drawn:
        low, high, efficiency, error, _ = (np.array(column) for column in zip(*drawn, strict=True))
        axis.errorbar((low + high) / 2, efficiency, yerr=error, xerr=(high - low) / 2, fmt=".", capsize=2)
    axis.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)


def _circle(radius: float) -> Any:
    from matplotlib.patches import Circle

    return Circle((0.0, 0.0), radius, fill=False, color="0.9", linewidth=0.8, zorder=0)


def _figure(size: tuple[float, float], widths: list[float]) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise OutputError("plots need the extra `plot`: pip install 'evproc[plot]'") from None
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, 2, width_ratios=widths)
