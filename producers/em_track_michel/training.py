"""Trains the EmTrackMichelId network on the toy; `set_up` calls it, and writes the ONNX file.

The problem: training must take minutes on one core, and what takes the time is not where the parameters are: for a batch of
128 the convolution's 92,928 features of each patch (48 MB) are written and read again by every step behind it, and drawing
a dropout mask of that size alone took as long as the rest of the forward pass.

The policy: the published network, loss (categorical cross-entropy with weight 0.1, squared error of the Michel output with
weight 1) and dropout (0.2), but

1. Adam with one cycle of the learning rate instead of SGD: a few hundred steps must do.
2. The mask of the first dropout is drawn once for a batch, not for each of its patches.
3. Of each event only some hits are taken, of all kinds: hits of one particle are alike, and one in thirty is Michel's.
4. Batches are mirrored at random along the wires and along the drift: the toy knows neither left nor right.
5. The convolution computes with its channels last (half the time); the rows of the first dense matrix are brought into the
   order of network.py at the end.

The samples' seeds begin at 1,000,000: no sample of a smaller seed was ever trained on. The cost is stated in
docs/em_track_michel.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .network import FEATURES, FILTERS, KERNEL, PATCH, Floats
from .particles import EM, NONE, TRACK
from .patches import PatchMaker, wire_images
from .readout import make_event

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

BATCH = 128
LEARNING_RATE = 1e-3
DROPOUT = 0.2
CLASS_WEIGHT, MICHEL_WEIGHT = 0.1, 1.0
"""Of the two parts of the loss, as published."""
TRAINING_SEEDS = 1_000_000
HELD_OUT_SEED = 2_000_000
EVENTS, EPOCHS = 120, 3
"""By default: events, and passes over their patches."""
PER_EVENT = {"track": 60, "em": 40, "none": 20, "michel": 40}
"""Hits of each kind that are taken of an event, at most; em without those of Michel electrons."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches with their truth."""

    image: Floats
    """image: (n, 48, 48, 1) float32"""
    truth: npt.NDArray[np.int64]
    """truth: (n,) int64, TRACK, EM or NONE"""
    michel: Floats
    """michel: (n,) float32, 0 or 1"""

    def __len__(self) -> int:
        return len(self.truth)


def training_patches(events: int, seed: int, **sizes: int) -> Patches:
    """Patches of some events, at most `PER_EVENT` of each kind.

    sizes: wires, ticks, tracks, muons and showers of an event, as `make_event` has them
    """
    found: list[tuple[Floats, Any, Any]] = []
    for number in range(events):
        event = make_event(seed, number, **sizes)
        hits = event.hits
        rng = np.random.default_rng([seed, number, 1])
        kinds = {
            "track": hits["truth"] == TRACK,
            "em": (hits["truth"] == EM) & ~hits["michel"],
            "none": hits["truth"] == NONE,
            "michel": hits["michel"],
        }
        rows = np.concatenate([rng.permutation(np.flatnonzero(kinds[kind]))[:most] for kind, most in PER_EVENT.items()])
        maker = PatchMaker(wire_images(event.adc), hits["plane"][rows], hits["wire"][rows], hits["time"][rows])
        found.append((maker.patches(), hits["truth"][rows], hits["michel"][rows]))
    image, truth, michel = (np.concatenate(column) for column in zip(*found, strict=True))
    return Patches(image, truth.astype(np.int64), michel.astype(np.float32))


def mirrored(image: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Patches mirrored along some axes, the hit's pixel staying at 24; what would come from beyond the patch is zero."""
    import torch  # pyright: ignore[reportMissingImports]

    for axis in axes:
        image = torch.roll(torch.flip(image, (axis,)), 1, axis)
        image.select(axis, 0).zero_()
    return image


def torch_parts() -> dict[str, torch.nn.Module]:
    """The layers of the network by name, as torch modules, initialised from torch's global seed."""
    from torch import nn

    return {
        "conv": nn.Conv2d(1, FILTERS, KERNEL),
        "dense1": nn.Linear(FEATURES, 128),
        "dense2": nn.Linear(128, 32),
        "classes": nn.Linear(32, 3),
        "michel": nn.Linear(32, 1),
    }


def forward(parts: dict[str, Any], image: torch.Tensor, *, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's outputs before softmax and sigmoid: (batch, 3) and (batch, 1).

    image: (batch, 48, 48, 1) float32. Between convolution and first dense layer the order is (wire, drift, channel).
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional

    hidden = parts["conv"](image.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last))
    hidden = functional.relu(hidden, inplace=True).permute(0, 2, 3, 1).flatten(1)
    if training:
        mask = (torch.rand(FEATURES) >= DROPOUT).to(hidden.dtype) / (1.0 - DROPOUT)
        hidden = hidden * mask
    for name in ("dense1", "dense2"):
        hidden = functional.dropout(functional.relu(parts[name](hidden)), DROPOUT, training)
    return parts["classes"](hidden), parts["michel"](hidden)


def train(
    patches: Patches, *, seed: int, epochs: int = EPOCHS, batch: int = BATCH, report: bool = False
) -> dict[str, Floats]:
    """The trained parameters, by name. Sets torch's seed, and its number of threads (to one, so that sums have one order)."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    parts: dict[str, Any] = torch_parts()
    parts["conv"].to(memory_format=torch.channels_last)
    weights = [weight for part in parts.values() for weight in part.parameters()]
    steps = max(1, len(patches) // batch)
    optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    image, truth, michel = (torch.from_numpy(array) for array in (patches.image, patches.truth, patches.michel))
    begin = time.perf_counter()
    for epoch in range(epochs):
        order, losses = torch.randperm(len(patches)), 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            axes = tuple(axis for axis in (1, 2) if torch.rand(()) < 0.5)
            classes, michels = forward(parts, mirrored(image[rows], axes), training=True)
            loss: torch.Tensor = CLASS_WEIGHT * functional.cross_entropy(classes, truth[rows])
            loss = loss + MICHEL_WEIGHT * functional.mse_loss(torch.sigmoid(michels[:, 0]), michel[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            losses += float(loss.detach())
        if report:
            spent = time.perf_counter() - begin
            print(f"epoch {epoch + 1} of {epochs}: loss {losses / steps:.4f}, {spent:.0f} s", flush=True)  # noqa: T201
    return parameters_of(parts)


def parameters_of(parts: dict[str, Any]) -> dict[str, Floats]:
    """The parameters as network.py has them, from the torch modules."""
    found: dict[str, Floats] = {}
    for name, part in parts.items():
        weight = part.weight.detach().numpy()
        if name == "dense1":
            side = PATCH - KERNEL + 1
            weight = weight.reshape(128, side, side, FILTERS).transpose(0, 3, 1, 2).reshape(128, FEATURES)
        found[f"{name}.weight"] = np.ascontiguousarray(weight if name == "conv" else weight.T, dtype=np.float32)
        found[f"{name}.bias"] = np.ascontiguousarray(part.bias.detach().numpy(), dtype=np.float32)
    return found
