"""The jets' momentum before and after the correction, against the generator's: a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError
from evproc.producers.response import Floats, draw_bins, performance, performance_in_bins

PT_EDGES: tuple[float, ...] = (10.0, 20.0, 30.0, 50.0, 150.0)
"""Bins of the generator jets' transverse momentum, GeV."""


def plot_performance(
    gen_pt: Floats, pt: Floats, corrected: Floats, path: str | Path, edges: Sequence[float] = PT_EDGES
) -> Path:
    """Draw how often which response occurs, and response and resolution in bins of the generator's pT; a PNG file.

    gen_pt, pt, corrected: (jets,), GeV, of the same matched jets
    raises OutputError: the picture cannot be written
    """
    import matplotlib as mpl
    import mplhep
    from matplotlib.figure import Figure

    path = Path(path)
    methods = (
        ("As reconstructed", pt, "#bd1f01", "s", "white"),
        ("Regressed", corrected, "#3f90da", "o", "#3f90da"),
    )
    style_sheet: Any = mplhep.style.CMS
    with mpl.rc_context(style_sheet):
        figure = Figure(figsize=(10, 14))
        grid = figure.add_gridspec(8, 1, height_ratios=[4, 4, 4, 2.6, 3, 3, 3, 3], hspace=0.12)
        spread = figure.add_subplot(grid[0:3])
        response = figure.add_subplot(grid[4:6])
        resolution = figure.add_subplot(grid[6:8], sharex=response)
        for name, method, colour, marker, face in methods:
            overall = performance(gen_pt, method)
            spread.hist(
                np.clip(np.divide(method, gen_pt), 0.4, 1.999),
                bins=np.linspace(0.4, 2.0, 33).tolist(),
                histtype="step",
                linewidth=2.5,
                color=colour,
                label=f"{name}: {overall.response:.2f}, {100 * overall.resolution:.1f}% wide",
            )
            bins = performance_in_bins(gen_pt, method, edges)
            style = {"color": colour, "marker": marker, "markerfacecolor": face}
            middles, errors = [each.response for each in bins], [each.response_error for each in bins]
            draw_bins(response, edges, middles, errors, **style)
            widths, errors = [each.resolution for each in bins], [each.resolution_error for each in bins]
            draw_bins(resolution, edges, np.multiply(widths, 100.0), np.multiply(errors, 100.0).tolist(), **style)
        spread.set_xlim(0.4, 2.0)
        spread.set_ylim(0.0, 1.35 * spread.get_ylim()[1])
        spread.set_xlabel("$p_T$ / $p_T$ of the generator jet")
        spread.set_ylabel("Jets")
        spread.legend(loc="upper right", fontsize=21)
        response.axhline(1.0, color="0.6", linewidth=1.2, linestyle="--", zorder=0)
        response.set_ylabel("Response")
        response.tick_params(labelbottom=False)
        resolution.set_ylabel("Resolution [%]")
        resolution.set_ylim(0.0, 1.05 * resolution.get_ylim()[1])
        resolution.set_xscale("log")
        resolution.set_xlim(edges[0], edges[-1])
        resolution.set_xticks(edges, [f"{edge:g}" for edge in edges])
        resolution.minorticks_off()
        resolution.set_xlabel("$p_T$ of the generator jet [GeV]")
        spread.text(0.0, 1.02, "evproc", transform=spread.transAxes, fontsize=26, fontweight="bold")
        spread.text(1.0, 1.02, f"{len(gen_pt):,} jets", transform=spread.transAxes, fontsize=22, ha="right")
        figure.align_ylabels()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=100, bbox_inches="tight", format="png")
        except OSError as error:
            raise OutputError(f"cannot write the plot {path}: {error}") from error
    return path
