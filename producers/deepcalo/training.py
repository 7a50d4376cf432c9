"""Trains the DeepCalo network and writes its ONNX file.

    python -m evproc.producers.deepcalo.training --output models/deepcalo/1/model.onnx --seed 1

The published recipe (300 epochs, large batches, cyclic rates, on a GPU) is out of reach of a CPU: an image costs 6 ms of one
core, forwards and backwards. What is done instead, with the same network:

1. The loss is log cosh, as published, of the error in units of the resolution to be expected: 0.4 GeV, 12 % / sqrt(E)
   and 1 % in quadrature. Plain errors in GeV would see the highest energies only.
2. A batch of 32 has one shower of each 32nd of the spectrum. Otherwise its statistics, which are those of its few highest
   energies, would change from batch to batch, and so would what the normalisations do.
3. 24,000 showers, one pass: Adam, with a rate that rises to 0.003 and falls to nothing (one cycle). Each batch is turned
   over in eta, in phi, in both or not, by lot: the toy has no preferred side.
4. Then the statistics are fixed at the averages over 4,096 images, so that training sees the same function as inference;
   the last layer is set to the least-squares answer from its 256 inputs; and a second, gentle cycle (0.0001) goes over
   half of the showers. Without this, scales of a few percent remain.

Cost: about five minutes on one free core, 1 GB. The same seed, torch version and kind of CPU give the same bytes. The
samples' seeds begin at 1,000,000: no sample of a smaller seed was ever trained on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evproc.producers.onnx_graph import write_onnx

from .cell_sum import calibrated_sum, cell_sum, fit_calibration
from .detector import COLUMNS, LAYERS, ROWS, Floats
from .network import EPSILON, SLOPE, TABLE, UPSAMPLING, Parameters, initial_parameters, onnx_model
from .performance import STYLES, performance_table, plot_performance
from .showers import make_electrons

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

BATCH = 32
LEARNING_RATE, REFINING_RATE = 0.003, 0.0001
"""The highest with the statistics of batches, and with fixed ones."""
NOISE, STOCHASTIC, CONSTANT = 0.4, 0.12, 0.01
"""The expected resolution in the loss: GeV, over the root of the energy in GeV, fraction of the energy."""
SCALE = 100.0
"""GeV that the network's answer is counted in while it is trained; then the last layer is multiplied by it."""
TRAINING_SEEDS = 1_000_000
HELD_OUT_SEED = 2_000_000
PER_EVENT = 10
"""Electrons of an event in these samples."""
SETTLED, ANSWERED = 4096, 10_000
"""Images that the final statistics are of; that the last layer is fitted to."""
REPORTED = 100
"""Steps between two lines of the log."""


def training_images(images: int, seed: int) -> tuple[Floats, Floats]:
    """images: (images, 56, 11, 4) float32, GeV, and true energy: (images,) float32, GeV, from events of ten electrons."""
    cells = np.empty((images, ROWS, COLUMNS, LAYERS), np.float32)
    energy = np.empty(images, np.float32)
    for event, start in enumerate(range(0, images, PER_EVENT)):
        made = make_electrons(min(PER_EVENT, images - start), seed, event)
        cells[start : start + PER_EVENT], energy[start : start + PER_EVENT] = made["cells"], made["genEnergy"]
    return cells, energy


def expected_width(energy: Floats) -> Floats:
    """width: (images,) float32, GeV: the resolution to be expected, in whose units errors count."""
    width: Floats = np.sqrt(NOISE**2 + STOCHASTIC**2 * energy + (CONSTANT * energy) ** 2)
    return width


def torch_network(parameters: Parameters) -> torch.nn.Sequential:
    """The table as torch modules, with these parameters. It takes images with the layers first, (batch, 4, 56, 11)."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn

    modules: dict[str, Any] = {}
    for layer in TABLE:
        if layer.kind == "upsampling":
            modules[layer.name] = nn.Upsample(scale_factor=(1, UPSAMPLING))
            continue
        if layer.pooled:
            modules[f"{layer.name}_pool"] = nn.MaxPool2d(2)
        if layer.name == "dense1":
            modules["flat"] = _FlatAsKeras()
        if layer.kind == "convolution":
            modules[layer.name] = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.kernel // 2)
        elif layer.kind == "dense":
            modules[layer.name] = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        if layer.normalised:
            kind = nn.BatchNorm1d if layer.kind == "dense" else nn.BatchNorm2d
            modules[f"{layer.name}_norm"] = kind(layer.outputs, eps=EPSILON)
        if layer.kind != "normalisation":
            modules[f"{layer.name}_relu"] = nn.LeakyReLU(SLOPE) if layer.normalised else nn.ReLU()
    network = nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    with torch.no_grad():
        for name, tensor in _tensors(network).items():
            values = parameters[name]
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(values.T if name.startswith("dense") else values)))
    return network


def _FlatAsKeras() -> Any:
    from torch import nn

    class FlatAsKeras(nn.Module):  # type: ignore[misc]  # torch is not looked at
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.permute(0, 2, 3, 1).flatten(1)

    return FlatAsKeras()


def _tensors(network: torch.nn.Sequential) -> dict[str, torch.Tensor]:
    """The network's tensors by their names in the file."""
    found: dict[str, torch.Tensor] = {}
    names = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "variance"}
    for key, tensor in network.state_dict(keep_vars=False).items():
        module, _, part = key.rpartition(".")
        if part == "num_batches_tracked":
            continue
        found[f"{module.removesuffix('_norm')}.{names[part]}" if module.endswith("_norm") else key] = tensor
    return found


def trained_parameters(network: torch.nn.Sequential) -> Parameters:
    """The network's parameters as arrays, as `onnx_model` takes them."""
    parameters: Parameters = {}
    for name, tensor in _tensors(network).items():
        values = tensor.detach().numpy().astype(np.float32)
        parameters[name] = np.ascontiguousarray(values.T if name.startswith("dense") else values)
    return parameters


def channels_first(images: Floats) -> Any:
    """The images as torch wants them: (batch, 4, 56, 11), layers last in memory."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(images).permute(0, 3, 1, 2)


def predictions(network: torch.nn.Sequential, images: Floats, batch: int = 256) -> Floats:
    """energy: (images,) float32, GeV, in inference mode."""
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    with torch.no_grad():
        parts = [network(channels_first(images[i : i + batch]))[:, 0].numpy() for i in range(0, len(images), batch)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def train(images: Floats, energy: Floats, *, seed: int, epochs: int = 1) -> torch.nn.Sequential:
    """The trained network. Sets torch's seed and its number of threads (to one, so that sums have one order).

    images: (images, 56, 11, 4) float32, GeV; energy: (images,) float32, GeV
    epochs: passes over the images with the statistics of batches; one more, with fixed ones, goes over half of them
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network: Any = torch_network(initial_parameters(seed))
    network = network.to(memory_format=torch.channels_last)
    inputs, target = channels_first(images), torch.from_numpy(energy)
    width = torch.from_numpy(expected_width(energy))
    network.train()
    for _ in range(epochs):
        _descend(network, inputs, target, width, LEARNING_RATE)
    refine(network, inputs, target, width, seed=seed)
    with torch.no_grad():
        for each in network[-2].parameters():
            each.mul_(SCALE)
    trained: torch.nn.Sequential = network
    return trained


def refine(network: Any, inputs: Any, target: Any, width: Any, *, seed: int) -> None:
    """Fix the statistics, make the last layer the best linear answer, and go on gently with half of the images."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed + 1)
    _fix_statistics(network, inputs[:SETTLED])
    network.eval()
    _answer_linearly(network, inputs[:ANSWERED], target[:ANSWERED], width[:ANSWERED])
    half = max(BATCH, len(inputs) // 2)
    _descend(network, inputs[:half], target[:half], width[:half], REFINING_RATE)


def _descend(network: Any, inputs: Any, target: Any, width: Any, highest_rate: float) -> None:
    """One pass over the images, with one cycle of the learning rate."""
    import torch  # pyright: ignore[reportMissingImports]

    steps = max(1, len(inputs) // BATCH)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=highest_rate, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=highest_rate, total_steps=steps, pct_start=0.15, cycle_momentum=False
    )
    strata = torch.argsort(target)[: BATCH * steps].reshape(BATCH, steps)
    begin, losses = time.perf_counter(), []
    order = strata.gather(1, torch.argsort(torch.rand(strata.shape), dim=1))
    for batch in order.T:
        sides = [axis for axis in (2, 3) if float(torch.rand(())) < 0.5]
        some = inputs[batch].flip(sides).contiguous(memory_format=torch.channels_last)
        error = (SCALE * network(some)[:, 0] - target[batch]) / width[batch]
        loss = (error + torch.nn.functional.softplus(-2.0 * error) - np.log(2.0)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        rate.step()
        losses.append(loss.item())
        if len(losses) % REPORTED == 0:
            mean, passed = np.mean(losses[-REPORTED:]), time.perf_counter() - begin
            print(f"step {len(losses)} of {steps}: loss {mean:.3f}, {passed:.0f} s", flush=True)  # noqa: T201


def _fix_statistics(network: Any, images: Any) -> None:
    """Set the moving statistics to the averages over these images, in batches as in training."""
    import torch  # pyright: ignore[reportMissingImports]

    for each in network:
        if isinstance(each, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            each.reset_running_stats()
            each.momentum = None  # the plain average
    network.train()
    with torch.no_grad():
        for start in range(0, len(images) - BATCH + 1, BATCH):
            network(images[start : start + BATCH])


def _answer_linearly(network: Any, images: Any, target: Any, width: Any) -> None:
    """Set the last layer to what is best, by least squares, for its 256 inputs."""
    import torch  # pyright: ignore[reportMissingImports]

    with torch.no_grad():
        hidden = torch.cat([network[:-2](images[i : i + 256]) for i in range(0, len(images), 256)]).double()
        rows = torch.cat([hidden, torch.ones(len(hidden), 1)], dim=1) / width[:, None]
        normal = rows.T @ rows
        normal += 1e-6 * torch.trace(normal) / len(normal) * torch.eye(len(normal))
        answer = torch.linalg.solve(normal, rows.T @ (target / width).double()) / SCALE
        network[-2].weight.copy_(answer[None, :-1])
        network[-2].bias.copy_(answer[-1:])


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.deepcalo.training --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.deepcalo.training", description="Train the DeepCalo network."
    )
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of network and samples (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the showers (default: %(default)s)")
    parser.add_argument("--images", type=int, default=24_000, help="showers to train on (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=10_000, help="showers to judge by (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw: response and resolution on held-out showers")
    chosen = parser.parse_args(arguments)
    if chosen.images < BATCH or chosen.epochs < 1:
        parser.error(f"{BATCH} images at least, and one epoch")

    import torch  # pyright: ignore[reportMissingImports]

    begin = time.perf_counter()
    images, energy = training_images(chosen.images, TRAINING_SEEDS + chosen.seed)
    print(f"{len(images):,} showers made in {time.perf_counter() - begin:.0f} s")  # noqa: T201
    calibration = fit_calibration(images, energy, expected_width(energy))
    print(f"calibration of the sum: {', '.join(f'{number:.5f}' for number in calibration)}", flush=True)  # noqa: T201
    network = train(images, energy, seed=chosen.seed, epochs=chosen.epochs)
    metadata = {
        "seed": str(chosen.seed),
        "epochs": str(chosen.epochs),
        "images": str(len(images)),
        "torch": str(torch.__version__).split("+")[0],
        "weights": "trained",
    }
    write_onnx(onnx_model(trained_parameters(network), metadata), chosen.output)
    print(f"{chosen.output} written after {time.perf_counter() - begin:.0f} s")  # noqa: T201
    images, energy = training_images(chosen.held_out, HELD_OUT_SEED)
    sums = (cell_sum(images), calibrated_sum(images, calibration), predictions(network, images))
    methods = dict(zip(STYLES, sums, strict=True))
    print(performance_table(energy, methods))  # noqa: T201
    if chosen.plot:
        plot_performance(energy, methods, chosen.plot)


if __name__ == "__main__":
    main()
