"""Trains the FACILE network and writes its ONNX file.

    python -m evproc.producers.facile.training --output models/facile/1/model.onnx --seed 1

The problem: charges reach over five orders of magnitude, and the answer is in essence a product, charge times gain, that
a network of 36 rectifiers must compose of flat pieces. Trained plainly (mean squared error, batch statistics, 11 epochs
of the falling spectrum) it loses to the charge sum at all energies above 1 GeV. The policy that wins, with the same
network, the same optimiser and the same batches of 2,024:

1. The loss is the squared error in units of the resolution to be expected, 0.1 GeV and 3 % in quadrature. In plain
   squared error the few channels above 100 GeV are everything.
2. A second sample, flat in log E above 2 GeV, is added to the falling one. Where it adds, a channel's own charge says
   its energy, and the spectrum hardly matters; below, the spectrum is that of the sample.
3. The statistics of the normalisations are computed once from the whole sample and kept (see `fix_statistics`).
4. 100 epochs with a learning rate that rises to 0.01 and falls to nothing (one cycle).

Cost: under three minutes on one free core, and 1 GB. The same seed, torch version and kind of CPU give the same bytes.
The samples' seeds begin at 1,000,000: no sample of a smaller seed was ever trained on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evproc.producers.dense_network import fix_statistics, onnx_model, predictions, torch_network
from evproc.producers.onnx_graph import write_onnx

from .charge_sum import charge_sum
from .detector import Floats
from .features import channel_features
from .network import INPUT, LAYERS, OUTPUT
from .performance import performance_table, plot_performance
from .sample import FALLING, FLAT, Spectrum, make_channels

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

MIN_ENERGY = 0.1
"""Channels with less true energy are neither trained on nor evaluated, GeV; as in the public training code."""
BATCH = 2024
LEARNING_RATE = 0.01
ABSOLUTE, RELATIVE = 0.1, 0.03
"""The expected resolution in the loss: GeV, and fraction of the energy."""
TRAINING_SEEDS = 1_000_000
HELD_OUT_SEED = 2_000_000


def training_channels(events: int, seed: int, spectrum: Spectrum = FALLING) -> tuple[Floats, Floats, Floats]:
    """`events` events of 16,000 channels, those with a true energy above 0.1 GeV.

    returns: features (channels, 36), true energy (channels,) and charge sum (channels,), float32, GeV
    """
    rows: list[tuple[Floats, Floats, Floats]] = []
    for event in range(events):
        channels = make_channels(16_000, seed, event, spectrum)
        keep = channels["genEnergy"] > max(MIN_ENERGY, spectrum.lowest if spectrum is FLAT else 0.0)
        features = channel_features(channels)[keep]
        rows.append((features, channels["genEnergy"][keep], charge_sum(channels)[keep]))
    features, energy, plain = (np.concatenate(column) for column in zip(*rows, strict=True))
    return features, energy, plain


def train(features: Floats, energy: Floats, *, seed: int, epochs: int) -> torch.nn.Sequential:
    """The trained network. Sets torch's seed and its number of threads (to one, so that sums have one order).

    features: (channels, 36) float32
    energy:   (channels,) float32, GeV
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inputs, target = torch.from_numpy(features), torch.from_numpy(energy)[:, None]
    weight = 1.0 / (ABSOLUTE**2 + (RELATIVE * target) ** 2)
    weight /= weight.mean()
    network = torch_network(LAYERS)
    fix_statistics(network, inputs, clip=(0.05, 0.95))
    steps = max(1, len(inputs) // BATCH)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            loss = (weight[batch] * (network(inputs[batch]) - target[batch]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return network


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.training --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.facile.training", description="Train the FACILE network."
    )
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of network and samples (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=100, help="passes over the sample (default: %(default)s)")
    parser.add_argument("--events", type=int, default=100, help="events of 16,000 channels (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw: response and resolution on held-out channels")
    chosen = parser.parse_args(arguments)
    if chosen.events < 3 or chosen.epochs < 1:
        parser.error("three events at least (two of the falling spectrum, one of the flat one), and one epoch")

    import torch  # pyright: ignore[reportMissingImports]

    begin = time.perf_counter()
    flat = chosen.events * 2 // 5
    first_seed = TRAINING_SEEDS + 2 * chosen.seed
    pieces = [training_channels(chosen.events - flat, first_seed), training_channels(flat, first_seed + 1, FLAT)]
    features = np.concatenate([piece[0] for piece in pieces])
    energy = np.concatenate([piece[1] for piece in pieces])
    print(f"{len(features):,} channels made in {time.perf_counter() - begin:.0f} s")  # noqa: T201
    network = train(features, energy, seed=chosen.seed, epochs=chosen.epochs)
    metadata = {
        "seed": str(chosen.seed),
        "epochs": str(chosen.epochs),
        "channels": str(len(features)),
        "torch": str(torch.__version__).split("+")[0],
    }
    write_onnx(onnx_model(network, "facile", INPUT, OUTPUT, metadata), chosen.output)
    print(f"{chosen.output} written after {time.perf_counter() - begin:.0f} s")  # noqa: T201
    features, energy, plain = training_channels(25, HELD_OUT_SEED)
    predicted = predictions(network, features)[:, 0]
    print(performance_table(energy, predicted, plain))  # noqa: T201
    if chosen.plot:
        plot_performance(energy, predicted, plain, chosen.plot)


if __name__ == "__main__":
    main()
