"""Pictures of histograms, in the style of mplhep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_COLOUR = "#3f90da"


@dataclass(frozen=True, slots=True)
class Panel:
    """One histogram and how it is shown."""

    histogram: Any
    axis_label: str
    unit: str
    counted: str
    """What is counted: events or entries."""
    log: bool = False
    not_a_number: int = 0


def draw(panels: list[Panel], path: Path, kind: str = "png") -> None:
    """Draw histograms side by side into one picture. `kind` is png, pdf or svg."""
    import matplotlib as mpl
    import mplhep
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(panels), math.ceil(math.sqrt(len(panels))))
    rows = math.ceil(len(panels) / columns)
    style: Any = {key: value for key, value in mplhep.style.ROOT.items() if value is not None}
    with mpl.rc_context({**style, "font.size": 20, "axes.formatter.limits": (-4, 6)}):
        figure = Figure(figsize=(9 * columns, 7.2 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel, mplhep)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.savefig(path, format=kind, dpi=100)


def _draw_panel(axes: Any, panel: Panel, mplhep: Any) -> None:
    histogram = panel.histogram
    edges, values, variances = histogram.axes[0].edges, histogram.values(), histogram.variances()
    axes.stairs(values, edges, fill=True, color=_COLOUR, alpha=0.3)
    mplhep.histplot(values, edges, yerr=np.sqrt(variances), ax=axes, histtype="step", color=_COLOUR, linewidth=1.8)
    width = f"{edges[1] - edges[0]:.3g}"
    per_bin = f"{width} {panel.unit}" if panel.unit else width
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(panel.axis_label, loc="right")
    axes.set_ylabel(f"{panel.counted[0].upper()}{panel.counted[1:]} / {per_bin}", loc="top")
    top = float((values + np.sqrt(variances)).max(initial=0.0))
    if panel.log and (values > 0).any():
        axes.set_yscale("log")
        axes.set_ylim(0.5, max(top, 1.0) * 20)
    else:
        axes.set_ylim(0, max(top, 1.0) * 1.3)
    axes.text(0.97, 0.96, "\n".join(_notes(panel)), transform=axes.transAxes, ha="right", va="top", fontsize=15)


def _notes(panel: Panel) -> list[str]:
    """What the bins do not show: how many entries there are, and how many lie outside."""
    every = panel.histogram.values(flow=True)
    inside = every[1:-1].sum()
    notes = [f"{_count(inside)} {panel.counted.lower()} in range"]
    for count, text in ((every[0], "below"), (every[-1], "above")):
        if count:
            notes.append(f"{_count(count)} {text}")
    if panel.not_a_number:
        notes.append(f"{panel.not_a_number} not a number")
    return notes


def _count(value: Any) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.4g}"
