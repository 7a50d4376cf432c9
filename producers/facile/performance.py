"""Response and resolution of FACILE and of the charge sum, against the true energy: a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError
from evproc.producers.response import Floats, draw_bins, performance, performance_in_bins

ENERGY_EDGES: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0)
"""Bins of true energy, GeV."""


def performance_table(true: Floats, facile: Floats, charge_sum: Floats, edges: Sequence[float] = ENERGY_EDGES) -> str:
    """A Markdown table of both methods, bin by bin and overall."""
    lines = [
        "| true energy, GeV | channels | response FACILE | charge sum | resolution FACILE | charge sum |",
        "|---|---|---|---|---|---|",
    ]
    names = [f"{low:g}-{high:g}" for low, high in pairwise(edges)]
    ours = [*performance_in_bins(true, facile, edges), performance(true, facile)]
    plain = [*performance_in_bins(true, charge_sum, edges), performance(true, charge_sum)]
    for name, our, other in zip([*names, "all"], ours, plain, strict=True):
        lines.append(
            f"| {name} | {our.entries} | {our.response:.3f} | {other.response:.3f} "
            f"| {our.resolution:.4f} | {other.resolution:.4f} |"
        )
    our, other = ours[-1], plain[-1]
    lines.append(f"\nrms error: {our.rms:.3f} GeV (FACILE), {other.rms:.3f} GeV (charge sum)")
    lines.append(f"rms relative error: {our.relative_rms:.3f} (FACILE), {other.relative_rms:.3f} (charge sum)")
    return "\n".join(lines)


def plot_performance(
    true: Floats,
    facile: Floats,
    charge_sum: Floats,
    path: str | Path,
    edges: Sequence[float] = ENERGY_EDGES,
) -> Path:
    """Draw response and resolution of both methods against the true energy, and the ratio of the resolutions; a PNG file.

    true, facile, charge_sum: (channels,), GeV, of the same channels; those below the first edge are left out
    raises OutputError: the picture cannot be written
    """
    import matplotlib as mpl
    import mplhep
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    path = Path(path)
    methods = (
        ("Charge sum", charge_sum, "#bd1f01", "s", "white"),
        ("FACILE", facile, "#3f90da", "o", "#3f90da"),
    )
    style_sheet: Any = mplhep.style.CMS
    with mpl.rc_context(style_sheet):
        figure = Figure(figsize=(10, 12))
        response, resolution, ratio = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 3, 1.3], "hspace": 0.07}
        )
        widths = []
        for name, predicted, colour, marker, face in methods:
            bins = performance_in_bins(true, predicted, edges)
            widths.append(np.array([each.resolution for each in bins]))
            style = {"label": name, "color": colour, "marker": marker, "markerfacecolor": face}
            middles, errors = [each.response for each in bins], [each.response_error for each in bins]
            draw_bins(response, edges, middles, errors, **style)
            draw_bins(resolution, edges, widths[-1], [each.resolution_error for each in bins], **style)
        draw_bins(ratio, edges, widths[1] / widths[0], None, color="#3f90da", marker="o")

        response.axhline(1.0, color="0.6", linewidth=1.2, linestyle="--", zorder=0)
        response.set_ylabel("Response")
        low, high = response.get_ylim()
        response.set_ylim(min(low, 0.9), max(high, 1.1) + 0.05)
        resolution.legend(loc="upper right", fontsize=23)
        known = np.concatenate(widths)
        known = known[known > 0]
        resolution.set_yscale("log")
        resolution.set_ylim(0.8 * min(known, default=0.02), 1.25 * max(known, default=0.8))
        resolution.set_ylabel("Resolution [%]")
        resolution.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        resolution.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        resolution.yaxis.set_minor_formatter("")
        ratio.axhline(1.0, color="0.6", linewidth=1.2, linestyle="--", zorder=0)
        ratio.set_ylim(0.3, 1.15)
        ratio.set_ylabel("Ratio to sum", loc="center", fontsize=22)
        ratio.set_xscale("log")
        ratio.set_xlim(edges[0], edges[-1])
        ratio.xaxis.set_major_formatter("{x:g}")
        ratio.set_xlabel("True energy of the channel [GeV]")
        inside = int(np.count_nonzero((true >= edges[0]) & (true < edges[-1])))
        response.text(0.0, 1.03, "evproc toy", transform=response.transAxes, fontsize=26, fontweight="bold")
        response.text(1.0, 1.03, f"{inside:,} channels", transform=response.transAxes, fontsize=22, ha="right")
        figure.align_ylabels()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, bbox_inches="tight", format="png")
        except OSError as error:
            raise OutputError(f"cannot write the plot {path}: {error}") from error
    return path
