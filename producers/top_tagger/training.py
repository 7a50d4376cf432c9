"""Trains the small network and writes its ONNX file.

    python -m evproc.producers.top_tagger.sample jets.root --events 20000 --seed 1000001
    python -m evproc.producers.top_tagger.sample held_out.root --events 6000 --seed 2000001
    python -m evproc.producers.top_tagger.training jets.root --held-out held_out.root --output models/top_tagger/1/model.onnx

Pictures are made with 32 x 32 pixels, which is what the network makes of 224 x 224 ones, so that all of a sample fits into
memory. Each batch is turned by a random multiple of 90 degrees and mirrored or not: a jet has no up or down, and a sample is
worth several times its size. Cross entropy, AdamW, one cycle of the learning rate, classes weighted equally. Only jets whose
label is certain (1 or 0) are used.

The sample's seeds begin at 1,000,000; held-out ones at 2,000,000; smaller seeds were never trained on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import write_onnx

from .network import Parameters
from .performance import performance_text, plot_roc, roc_curve
from .reading import read_images
from .small_cnn import CONTRAST, CONVOLUTIONS, DENSE, small_cnn_model, small_cnn_parameters

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

Floats = npt.NDArray[np.float32]

BATCH = 128
LEARNING_RATE = 2e-3


def torch_network(parameters: Parameters) -> torch.nn.Sequential:
    """The network with these weights, from pictures (batch, 1, 32, 32) of log(1 + 1000 x) to two numbers; no softmax."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn

    modules: list[nn.Module] = []
    for layer in CONVOLUTIONS:
        modules += [nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.kernel // 2), nn.ReLU()]
        modules.append(nn.MaxPool2d(2))
    modules.append(nn.Flatten())
    for number, (_, inputs, outputs) in enumerate(DENSE, start=1):
        modules += [nn.Linear(inputs, outputs), *([nn.ReLU()] if number < len(DENSE) else [])]
    network = nn.Sequential(*modules)
    with torch.no_grad():
        for values, made in zip(parameters.values(), network.parameters(), strict=True):
            made.copy_(torch.from_numpy(values))
    return network


def parameters_of(network: torch.nn.Sequential) -> Parameters:
    """The network's weights by name."""
    arrays = [each.detach().numpy().copy() for each in network.parameters()]
    return dict(zip(small_cnn_parameters(), arrays, strict=True))


def train(images: Floats, labels: npt.NDArray[np.int32], *, seed: int, epochs: int) -> torch.nn.Sequential:
    """The trained network. Sets torch's seed and its number of threads (to one, so that sums have one order).

    images: (jets, 32, 32) float32, fractions of the jet's pT
    labels: (jets,) integers: 1 top, 0 QCD
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inputs = torch.from_numpy(np.log1p(CONTRAST * images))[:, None]
    target = torch.from_numpy(labels.astype(np.int64))
    network = torch_network(small_cnn_parameters(seed))
    share = np.bincount(labels, minlength=2) / len(labels)
    cost = torch.nn.CrossEntropyLoss(torch.from_numpy((0.5 / share).astype(np.float32)))
    steps = max(1, len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * steps, pct_start=0.15, cycle_momentum=False
    )
    for epoch in range(epochs):
        order, mean = torch.randperm(len(inputs)), 0.0
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            loss = cost(network(turned(inputs[batch])), target[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            mean += loss.item() / steps
        print(f"epoch {epoch + 1} of {epochs}: loss {mean:.4f}", flush=True)  # noqa: T201
    return network


def turned(batch: torch.Tensor) -> torch.Tensor:
    """A batch turned and mirrored at random, all pictures alike."""
    import torch  # pyright: ignore[reportMissingImports]

    turns, mirror = (int(number) for number in torch.randint(0, 4, (2,)))
    batch = torch.rot90(batch, turns, (2, 3))
    return batch.flip(2) if mirror % 2 else batch


def scores_of(network: torch.nn.Sequential, images: Floats) -> Floats:
    """The probability of a top: (jets,) float32."""
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    with torch.no_grad():
        pieces = [
            torch.softmax(network(torch.from_numpy(np.log1p(CONTRAST * piece))[:, None]), dim=1)[:, 1].numpy()
            for piece in np.array_split(images, max(1, len(images) // 1000))
        ]
    return np.concatenate(pieces)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.training jets.root --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.top_tagger.training", description="Train the small top tagger."
    )
    parser.add_argument("sample", type=Path, help="the jets to train on, a ROOT file made by sample.py")
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--held-out", type=Path, help="jets of another seed, for the ROC curve")
    parser.add_argument("--seed", type=int, default=1, help="seed of the network (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the sample (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw: the ROC curve on the held-out jets")
    chosen = parser.parse_args(arguments)
    if chosen.epochs < 1 or (chosen.plot and not chosen.held_out):
        parser.error("one epoch at least; a ROC curve needs --held-out")

    import torch  # pyright: ignore[reportMissingImports]

    begin = time.perf_counter()
    images, labels = read_images(chosen.sample)
    print(f"{len(images):,} jets, {labels.mean():.0%} of them tops")  # noqa: T201
    network = train(images, labels, seed=chosen.seed, epochs=chosen.epochs)
    notes = {
        "weights": "trained",
        "seed": str(chosen.seed),
        "jets": str(len(images)),
        "epochs": str(chosen.epochs),
        "torch": str(torch.__version__).split("+")[0],
    }
    write_onnx(small_cnn_model(parameters_of(network), notes), chosen.output)
    print(f"{chosen.output} written after {time.perf_counter() - begin:.0f} s")  # noqa: T201
    if chosen.held_out:
        images, labels = read_images(chosen.held_out)
        roc = roc_curve(scores_of(network, images), labels)
        print(performance_text(roc))  # noqa: T201
        if chosen.plot:
            plot_roc(roc, chosen.plot, "small network")


if __name__ == "__main__":
    main()
