"""Trains ResNet-50 on jets, in two hours of one core, and writes its ONNX file.

    python -m evproc.producers.top_tagger.sample jets.root --events 30000 --seed 1000001
    python -m evproc.producers.top_tagger.sample held_out.root --events 6000 --seed 2000001
    python -m evproc.producers.top_tagger.resnet50_training jets.root --held-out held_out.root \
        --teacher models/top_tagger/1/model.onnx --output models/resnet50_top_tagger/1/model.onnx

A picture of 224 x 224 costs 0.35 s of a core, forwards and back, so most of the steps see its inner 112 x 112 pixels, half the
window at the same scale, for less than a third of that; the network's mean over the picture takes any size. The last steps
see all of it. Each step is one batch of 16 pictures, turned and mirrored at random; AdamW; in each leg the learning rate
rises to its largest and falls. Every block of the network begins as the identity: the last scale of each is 0.

The teacher, if any, is a network of the same interface: jets are then held half to their label and half to its score, which
says more of a jet than the label does (Hinton et al., arXiv:1503.02531).

The model's note `weights` becomes "trained". Pictures are kept as lists of pixels and filled batch by batch: 100,000 jets
are below 100 MB instead of 20 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import read_parameters, write_onnx

from .images import SIDE
from .network import CLASSES, INPUT, Convolution, Parameters
from .performance import performance_text, roc_curve
from .reading import Pixels, read_pixels
from .resnet50 import EPSILON, FEATURES, STEM, blocks, convolutions, resnet50_model, resnet50_parameters
from .training import turned

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

Floats = npt.NDArray[np.float32]

BATCH = 16
SAVED = 100
"""Steps between two files of a run."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the training: the inner pixels that are seen, the steps, the largest learning rate."""

    side: int
    steps: int
    rate: float


LEGS = (Leg(112, 2300, 6e-4), Leg(SIDE, 260, 2e-4))
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


def first_parameters(seed: int) -> Parameters:
    """What training begins from: those of the untrained network, but that every block adds nothing to what goes in."""
    parameters = resnet50_parameters(seed)
    for _, _, third, *_ in blocks():
        parameters[f"{third.name}.scale"][:] = 0.0
    return parameters


def train(
    sample: Pixels,
    first: Parameters,
    *,
    seed: int,
    legs: Sequence[Leg] = LEGS,
    device: str = "cpu",
    teacher: Floats | None = None,
    save: Callable[[torch.nn.Module], object] = lambda network: None,
) -> torch.nn.Module:
    """The trained network. Sets torch's seed.

    first:   what to begin from, by name, as `resnet50_model` takes them
    teacher: (jets,) probabilities of a top by another network; jets are held to label and teacher, half and half
    save:    takes the network every `SAVED` steps, so that a run may be cut short
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    network = torch_resnet50(first).to(device)
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    share = np.bincount(sample.labels, minlength=2) / len(sample.labels)
    weight = torch.from_numpy((0.5 / share)[sample.labels].astype(np.float32)).to(device)
    top = sample.labels.astype(np.float32) if teacher is None else 0.5 * (sample.labels + teacher)
    target = torch.from_numpy(np.stack([1.0 - top, top], axis=1).astype(np.float32)).to(device)
    begin, done = time.perf_counter(), 0
    order = np.empty(0, np.int64)
    for leg in legs:
        optimiser = torch.optim.AdamW(network.parameters(), lr=leg.rate, weight_decay=0.01, fused=True)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=leg.rate, total_steps=leg.steps, pct_start=0.15, cycle_momentum=False
        )
        mean = 0.0
        network.train()
        for step in range(leg.steps):
            if len(order) < BATCH:
                order = torch.randperm(len(sample.labels)).numpy()
            jets, order = order[:BATCH], order[BATCH:]
            scores = torch.log_softmax(network(turned(_tensor(sample, jets, device, leg.side))), dim=1)
            loss = -((scores * target[jets]).sum(dim=1) * weight[jets]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            done += 1
            mean += (float(loss.detach()) - mean) * max(0.02, 1.0 / (1 + step))
            if step % 50 == 49 or step == leg.steps - 1:
                spent = time.perf_counter() - begin
                print(f"{leg.side} x {leg.side}, {step + 1}/{leg.steps}: loss {mean:.4f}, {spent:.0f} s", flush=True)  # noqa: T201
            if done % SAVED == 0:
                save(network)
    return network


def _tensor(sample: Pixels, jets: Any, device: str, side: int = SIDE) -> torch.Tensor:
    """The inner pixels of some jets' pictures on the device: (batch, 3, side, side)."""
    import torch  # pyright: ignore[reportMissingImports]

    edge = (SIDE - side) // 2
    inner = np.ascontiguousarray(sample.images(jets)[:, edge : edge + side, edge : edge + side])
    return torch.from_numpy(inner).to(device)[:, None].expand(-1, 3, -1, -1)


def teacher_scores(path: Path, sample: Pixels) -> Floats:
    """What a model of the same interface says of jets: the probability of a top, (jets,) float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pieces = np.array_split(np.arange(len(sample.labels)), max(1, len(sample.labels) // BATCH))
    scores = [
        session.run(None, {INPUT: np.repeat(sample.images(jets)[..., np.newaxis], 3, axis=3)})[0] for jets in pieces
    ]
    return np.concatenate([each[:, 1] for each in scores])


def scores_of(network: torch.nn.Module, sample: Pixels, device: str) -> Floats:
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
    parser.add_argument("--teacher", type=Path, help="an ONNX file of the same interface, to learn from as well")
    parser.add_argument("--start", type=Path, help="an ONNX file of the network, to go on from; give another seed")
    parser.add_argument("--seed", type=int, default=1, help="seed of the network (default: %(default)s)")
    inner, whole = LEGS
    parser.add_argument(
        "--inner-steps", type=int, default=inner.steps, help="on the inner 112 x 112 (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=whole.steps, help="on all pixels (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=whole.rate, help="largest rate of those (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="where to compute, as torch names it (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="cores to compute on (default: %(default)s)")
    chosen = parser.parse_args(arguments)

    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(chosen.threads)
    sample = read_pixels(chosen.sample)
    print(f"{len(sample.labels):,} jets, {sample.labels.mean():.0%} of them tops", flush=True)  # noqa: T201
    teacher = teacher_scores(chosen.teacher, sample) if chosen.teacher else None
    legs = [Leg(inner.side, chosen.inner_steps, inner.rate), Leg(whole.side, chosen.steps, chosen.rate)]
    legs = [leg for leg in legs if leg.steps]
    notes = {
        "weights": "trained",
        "seed": str(chosen.seed),
        "jets": str(len(sample.labels)),
        "steps": ", ".join(f"{leg.steps} of {leg.side} x {leg.side}" for leg in legs),
        "torch": str(torch.__version__).split("+")[0],
    }

    def save(network: torch.nn.Module) -> None:
        write_onnx(resnet50_model(parameters_of(network), notes), chosen.output)

    first = first_parameters(chosen.seed)
    if chosen.start:
        first = read_parameters(chosen.start, first)
    network = train(sample, first, seed=chosen.seed, legs=legs, device=chosen.device, teacher=teacher, save=save)
    save(network)
    if chosen.held_out:
        held_out = read_pixels(chosen.held_out)
        roc = roc_curve(scores_of(network, held_out, chosen.device), held_out.labels)
        print(performance_text(roc))  # noqa: T201


if __name__ == "__main__":
    main()
