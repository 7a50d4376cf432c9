"""How far FACILE in fixed point is from the float network: a table and a picture; and that hls4ml answers the same.

    python -m evproc.producers.facile.fpga_performance --plot docs/fpga.png

Float energies are onnxruntime's, fixed ones those of the design's whole numbers (`fpga_design.emulate`), which the compiled
library gives bit for bit; that is checked here for one event, and with `--hls4ml` against a library that hls4ml builds by
itself, with its own script and options, and asks by its own `predict`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import ServerUnavailable
from evproc.producers.response import Floats, performance
from evproc.sonic_client.fixed_point import unpack_rows

from .features import channel_features
from .fpga_design import emulate, shipped_design
from .fpga_library import FpgaLibrary, compiled, hls_graph
from .fpga_words import feature_words, word_energies
from .performance import ENERGY_EDGES
from .sample import make_channels
from .training import HELD_OUT_SEED, MIN_ENERGY

CLAMP = np.float32(0.01)


def float_energies(model: Path, features: Floats) -> Floats:
    """The float network, by onnxruntime: (channels, 36) to (channels,) float32, GeV, not clamped."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    energies: Floats = session.run(["energy"], {"input": features})[0][:, 0]
    return energies


def difference_table(true: Floats, floats: Floats, fixed: Floats, edges: Sequence[float] = ENERGY_EDGES) -> str:
    """A Markdown table in bins of the true energy: |fixed - float|, and both resolutions.

    true, floats, fixed: (channels,) float32, GeV
    """
    lines = [
        "| true energy, GeV | channels | difference: median, MeV | 99 % | largest | resolution float | fixed |",
        "|---|---|---|---|---|---|---|",
    ]
    bins = [(f"{low:g}-{high:g}", (true >= low) & (true < high)) for low, high in pairwise(edges)]
    for name, inside in [*bins, (f"all above {MIN_ENERGY:g}", true > MIN_ENERGY), ("all", true >= 0)]:
        if not inside.any():
            continue
        median, most, largest = np.quantile(np.abs(fixed[inside] - floats[inside]), [0.5, 0.99, 1.0]) * 1000
        told = ["-", "-"]
        if name != "all":  # half of all channels have no true energy
            made = (energies[inside].clip(CLAMP) for energies in (floats, fixed))
            told = [f"{performance(true[inside], energies).resolution:.4f}" for energies in made]
        lines.append(f"| {name} | {inside.sum()} | {median:.1f} | {most:.0f} | {largest:.0f} | {told[0]} | {told[1]} |")
    return "\n".join(lines)


def plot_difference(floats: Floats, fixed: Floats, path: Path) -> None:
    """Draw fixed against float energies, and the band of their difference; a PNG file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm

    above = floats > 0.05
    floats, fixed = floats[above], fixed[above].clip(CLAMP)
    edges = np.geomspace(0.05, 500.0, 81)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.6), layout="constrained")
    filled = left.hist2d(floats, fixed, bins=[edges, edges], norm=LogNorm(), cmap="viridis")[3]
    figure.colorbar(filled, ax=left, label="channels")
    left.plot([0.05, 500.0], [0.05, 500.0], color="black", linewidth=0.8)
    left.set(xscale="log", yscale="log", xlabel="float network, GeV", ylabel="ap_fixed<16,6>, GeV")
    bins = np.geomspace(0.05, 450.0, 26)
    centres, bands = [], []
    for low, high in pairwise(bins):
        inside = (floats >= low) & (floats < high)
        if inside.sum() > 20:
            centres.append(np.sqrt(low * high))
            bands.append(np.quantile(fixed[inside] - floats[inside], [0.005, 0.16, 0.5, 0.84, 0.995]) * 1000)
    table = np.array(bands).reshape(-1, 5).T
    right.fill_between(centres, table[0], table[4], alpha=0.25, label="99 % of the channels")
    right.fill_between(centres, table[1], table[3], alpha=0.5, label="68 %")
    right.plot(centres, table[2], color="black", label="median")
    right.axhline(0.0, color="grey", linewidth=0.8)
    right.set(xscale="log", xlabel="float network, GeV", ylabel="fixed - float, MeV")
    right.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def check_hls4ml(words: Any, answers: Any) -> float:
    """Hold answers against a library that hls4ml builds by itself. Returns how long building took, s.

    words:   (rows, 32) uint16
    answers: (rows, 1) uint16
    raises ServerUnavailable: they are not the same bits
    """
    with tempfile.TemporaryDirectory(prefix="evproc-hls4ml-") as folder:
        begin = time.perf_counter()
        graph = hls_graph(shipped_design(), Path(folder))
        graph.compile()
        seconds = time.perf_counter() - begin
        predicted = graph.predict(np.ascontiguousarray(unpack_rows(words)))
    if predicted.tobytes() != unpack_rows(answers).tobytes():
        raise ServerUnavailable("hls4ml's own library gives other answers than ours")
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.fpga_performance`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.facile.fpga_performance", description="Compare fixed point with float."
    )
    parser.add_argument("--model", type=Path, default=Path("models/facile/1/model.onnx"), help="the float network")
    parser.add_argument("--events", type=int, default=25, help="events of 16,000 channels (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw")
    parser.add_argument("--hls4ml", action="store_true", help="also build the library as hls4ml does, and compare")
    chosen = parser.parse_args(arguments)
    pieces: list[tuple[Floats, Floats, Floats]] = []
    clipped = 0
    words = np.empty((0, 32), np.uint16)
    for event in range(chosen.events):
        channels = make_channels(16_000, HELD_OUT_SEED, event)
        features = channel_features(channels)
        words = feature_words(features)
        clipped += int((np.abs(words.view(np.int16).astype(np.int32)) >= 32_767).any(axis=1).sum())
        fixed = word_energies(emulate(shipped_design(), words).view(np.uint16))
        pieces.append((channels["genEnergy"], float_energies(chosen.model, features), fixed))
    true, floats, fixed = (np.concatenate(column) for column in zip(*pieces, strict=True))
    print(difference_table(true, floats, fixed))  # noqa: T201
    print(f"\n{clipped} of {len(true)} channels have an input that is clipped")  # noqa: T201
    library = FpgaLibrary(compiled())
    begin = time.perf_counter()
    answers = library(words)
    seconds = time.perf_counter() - begin
    if answers[:, 0].tobytes() != emulate(shipped_design(), words).tobytes():
        raise ServerUnavailable("the compiled library gives other answers than the design's whole numbers")
    print(f"compiled library: the same bits; {seconds / len(words) * 1e6:.0f} us a channel")  # noqa: T201
    if chosen.hls4ml:
        seconds = check_hls4ml(words[:2000], answers[:2000])
        print(f"hls4ml's own build and predict: the same bits; built in {seconds:.1f} s")  # noqa: T201
    if chosen.plot:
        plot_difference(floats, fixed, chosen.plot)


if __name__ == "__main__":
    main()
