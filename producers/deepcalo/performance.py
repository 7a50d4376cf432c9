"""Response and resolution of DeepCalo and of the sums of cells, against the true energy: a table and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError
from evproc.producers.response import Floats, draw_bins, performance, performance_in_bins

ENERGY_EDGES: tuple[float, ...] = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Bins of true energy, GeV."""
STYLES: dict[str, dict[str, str]] = {
    "Cell sum": {"color": "#bd1f01", "marker": "s", "markerfacecolor": "white"},
    "Calibrated sum": {"color": "#ffa90e", "marker": "D", "markerfacecolor": "white"},
    "DeepCalo": {"color": "#3f90da", "marker": "o", "markerfacecolor": "#3f90da"},
}


def performance_table(true: Floats, methods: Mapping[str, Floats], edges: Sequence[float] = ENERGY_EDGES) -> str:
    """A Markdown table of all methods, bin by bin: response and resolution, with its statistical error.

    true: (electrons,), GeV; methods: the same of each method, by name
    """
    heads = ["true energy, GeV", "electrons", *(f"response {name}" for name in methods)]
    heads += [f"resolution {name}" for name in methods]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    bins = [performance_in_bins(true, predicted, edges) for predicted in methods.values()]
    for (low, high), *row in zip(pairwise(edges), *bins, strict=True):
        cells = [f"{low:g}-{high:g}", f"{row[0].entries}", *(f"{each.response:.3f}" for each in row)]
        cells += [f"{100 * each.resolution:.2f} +- {100 * each.resolution_error:.2f} %" for each in row]
        lines.append("| " + " | ".join(cells) + " |")
    rms = (f"{performance(true, predicted).relative_rms:.4f} ({name})" for name, predicted in methods.items())
    return "\n".join([*lines, "", f"rms relative error: {', '.join(rms)}"])


def plot_performance(
    true: Floats, methods: Mapping[str, Floats], path: str | Path, edges: Sequence[float] = ENERGY_EDGES
) -> Path:
    """Draw response and resolution of all methods against the true energy, and ratios to the first's resolution; a PNG file.

    true:    (electrons,), GeV; those outside the edges are left out
    methods: the same of each method, by name; names of `STYLES`, the plain sum first
    raises OutputError: the picture cannot be written
    """
    import matplotlib as mpl
    import mplhep
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    path = Path(path)
    style_sheet: Any = mplhep.style.CMS
    with mpl.rc_context(style_sheet):
        figure = Figure(figsize=(10, 12))
        response, resolution, ratio = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 3, 1.3], "hspace": 0.07}
        )
        widths: list[Any] = []
        for name, predicted in methods.items():
            bins = performance_in_bins(true, predicted, edges)
            widths.append(np.array([each.resolution for each in bins]))
            middles, errors = [each.response for each in bins], [each.response_error for each in bins]
            draw_bins(response, edges, middles, errors, label=name, **STYLES[name])
            draw_bins(
                resolution, edges, widths[-1], [each.resolution_error for each in bins], label=name, **STYLES[name]
            )
            if len(widths) > 1:
                draw_bins(ratio, edges, widths[-1] / widths[0], None, **STYLES[name])
        for axes in (response, ratio):
            axes.axhline(1.0, color="0.6", linewidth=1.2, linestyle="--", zorder=0)
        response.set_ylabel("Response")
        low, high = response.get_ylim()
        response.set_ylim(min(low, 0.9), max(high, 1.05))
        resolution.legend(loc="upper right", fontsize=23)
        known = np.concatenate(widths)
        known = known[known > 0]
        resolution.set_yscale("log")
        resolution.set_ylim(0.8 * min(known, default=0.005), 1.25 * max(known, default=0.5))
        resolution.set_ylabel("Resolution [%]")
        resolution.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        resolution.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        resolution.yaxis.set_minor_formatter("")
        ratio.set_ylim(0.0, 1.35)
        ratio.set_ylabel("Ratio to sum", loc="center", fontsize=22)
        ratio.set_xscale("log")
        ratio.set_xlim(edges[0], edges[-1])
        ratio.xaxis.set_major_formatter("{x:g}")
        ratio.set_xlabel("True energy of the electron [GeV]")
        inside = int(np.count_nonzero((true >= edges[0]) & (true < edges[-1])))
        response.text(0.0, 1.03, "evproc toy", transform=response.transAxes, fontsize=26, fontweight="bold")
        response.text(1.0, 1.03, f"{inside:,} electrons", transform=response.transAxes, fontsize=22, ha="right")
        figure.align_ylabels()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, bbox_inches="tight", format="png")
        except OSError as error:
            raise OutputError(f"cannot write the plot {path}: {error}") from error
    return path
