"""Trains ResNet-50 on jets, on a GPU, and writes its ONNX file.

    python -m evproc.producers.top_tagger.sample jets.root --events 100000 --seed 1000001
    python -m evproc.producers.top_tagger.sample held_out.root --events 6000 --seed 2000001
    python -m evproc.producers.top_tagger.resnet50_training jets.root --held-out held_out.root --output resnet50.onnx

The recipe is that of the paper of the network (arXiv:1512.03385): stochastic gradient descent with momentum 0.9, weight decay
1e-4, batches of 128, a learning rate of up to 0.1, here in one cycle; pictures are turned and mirrored at random. The model's
note `weights` becomes "trained"; the file belongs into models/resnet50_top_tagger/1/model.onnx. No run of it is published:
the network that the set-up step makes is untrained.

Pictures are kept as lists of pixels and filled batch by batch: 100,000 jets are below 100 MB instead of 20 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import write_onnx

from .network import CLASSES, Convolution, Parameters
from .performance import performance_text, roc_curve
from .reading import Pixels, read_pixels
from .resnet50 import EPSILON, FEATURES, STEM, blocks, convolutions, resnet50_model, resnet50_parameters
from .training import turned

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

BATCH = 128
LEARNING_RATE = 0.1
NORM = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
"""Our names of a normalisation's parameters, and torch's."""


def torch_resnet50(parameters: Parameters) -> torch.nn.Module:
    """The network with these weights, from pictures (batch, 3, 224, 224) to two numbers for each; no softmax."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn

    class ResNet50(nn.Module):  # type: ignore[misc]  # torch is not looked at
        """The layers by name (points become lines below), and their order."""

        def __init__(self) -> None:
            super().__init__()
            for layer in convolutions():
                half = layer.kernel // 2
                convolution = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, half, bias=False)
                self.add_module(_key(layer), nn.Sequential(convolution, nn.BatchNorm2d(layer.outputs, eps=EPSILON)))
            self.classes = nn.Linear(FEATURES, len(CLASSES))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """Two numbers for each picture: (batch, 2)."""
            made = dict(self.named_children())
            value = torch.relu(made[_key(STEM)](images))
            value = nn.functional.max_pool2d(value, 3, 2, 1)
            for first, second, third, *shortcut in blocks():
                hidden = torch.relu(made[_key(first)](value))
                hidden = made[_key(third)](torch.relu(made[_key(second)](hidden)))
                value = torch.relu(hidden + (made[_key(shortcut[0])](value) if shortcut else value))
            result: torch.Tensor = self.classes(value.mean(dim=(2, 3)))
            return result

    network = ResNet50()
    with torch.no_grad():
        for name, tensor in _tensors(network):
            tensor.copy_(torch.from_numpy(parameters[name]))
    return network


def _key(layer: Convolution) -> str:
    """A layer's name as torch allows it."""
    return layer.name.replace(".", "_")


def _tensors(network: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """The network's parameters and moving statistics under our names."""
    state = network.state_dict(keep_vars=True)
    named = [("classes.weight", state["classes.weight"]), ("classes.bias", state["classes.bias"])]
    for layer in convolutions():
        named.append((f"{layer.name}.weight", state[f"{_key(layer)}.0.weight"]))
        named += [(f"{layer.name}.{ours}", state[f"{_key(layer)}.1.{theirs}"]) for ours, theirs in NORM.items()]
    return named


def parameters_of(network: torch.nn.Module) -> Parameters:
    """The network's weights by name, as `resnet50_model` takes them."""
    return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in _tensors(network)}


def train(sample: Pixels, *, seed: int, epochs: int, device: str) -> torch.nn.Module:
    """The trained network. Sets torch's seed."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    network = torch_resnet50(resnet50_parameters(seed)).to(device)
    share = np.bincount(sample.labels, minlength=2) / len(sample.labels)
    cost = torch.nn.CrossEntropyLoss(torch.from_numpy((0.5 / share).astype(np.float32)).to(device))
    steps = max(1, len(sample.labels) // BATCH)
    optimiser = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * steps, pct_start=0.15, cycle_momentum=False
    )
    for epoch in range(epochs):
        begin, mean = time.perf_counter(), 0.0
        order = torch.randperm(len(sample.labels)).numpy()
        for step in range(steps):
            jets = order[step * BATCH : (step + 1) * BATCH]
            loss = cost(network(turned(_tensor(sample, jets, device))), _target(sample, jets, device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            mean += loss.item() / steps
        spent = time.perf_counter() - begin
        print(f"epoch {epoch + 1} of {epochs}: loss {mean:.4f}, {spent:.0f} s", flush=True)  # noqa: T201
    return network


def _tensor(sample: Pixels, jets: Any, device: str) -> torch.Tensor:
    """Pictures of some jets on the device: (batch, 3, 224, 224)."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(sample.images(jets)).to(device)[:, None].expand(-1, 3, -1, -1)


def _target(sample: Pixels, jets: Any, device: str) -> torch.Tensor:
    """Labels of some jets on the device: (batch,) int64."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(sample.labels[jets].astype(np.int64)).to(device)


def scores_of(network: torch.nn.Module, sample: Pixels, device: str) -> npt.NDArray[np.float32]:
    """The probability of a top: (jets,) float32."""
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    pieces = np.array_split(np.arange(len(sample.labels)), max(1, len(sample.labels) // BATCH))
    with torch.no_grad():
        scores = [torch.softmax(network(_tensor(sample, jets, device)), dim=1)[:, 1].cpu().numpy() for jets in pieces]
    return np.concatenate(scores)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.resnet50_training jets.root --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.top_tagger.resnet50_training", description="Train ResNet-50 on jets."
    )
    parser.add_argument("sample", type=Path, help="the jets to train on, a ROOT file made by sample.py")
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--held-out", type=Path, help="jets of another seed, for the figures")
    parser.add_argument("--seed", type=int, default=1, help="seed of the network (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the sample (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="where to compute, as torch names it (default: %(default)s)")
    chosen = parser.parse_args(arguments)

    sample = read_pixels(chosen.sample)
    print(f"{len(sample.labels):,} jets, {sample.labels.mean():.0%} of them tops")  # noqa: T201
    network = train(sample, seed=chosen.seed, epochs=chosen.epochs, device=chosen.device)
    notes = {
        "weights": "trained",
        "seed": str(chosen.seed),
        "jets": str(len(sample.labels)),
        "epochs": str(chosen.epochs),
    }
    write_onnx(resnet50_model(parameters_of(network), notes), chosen.output)
    if chosen.held_out:
        held_out = read_pixels(chosen.held_out)
        roc = roc_curve(scores_of(network, held_out, chosen.device), held_out.labels)
        print(performance_text(roc))  # noqa: T201


if __name__ == "__main__":
    main()
