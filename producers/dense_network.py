"""Small dense networks: one table of layers, from which come the parameter count, the torch module and the ONNX file.

The ONNX file is written node by node (BatchNormalization, Gemm, Relu; see `onnx_graph`).

torch and onnx are imported inside the functions: serving a model needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .onnx_graph import Graph

if TYPE_CHECKING:
    import onnx
    import torch  # pyright: ignore[reportMissingImports]


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation of `width` numbers: scale, shift, mean and variance of each."""

    width: int
    epsilon: float = 1e-3
    """What is added to the variance."""

    @property
    def parameters(self) -> int:
        """Scale, shift, moving mean and moving variance."""
        return 4 * self.width


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense layer, with or without a rectifier behind it."""

    inputs: int
    outputs: int
    relu: bool = True

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs + self.outputs


Layers: TypeAlias = Sequence[BatchNorm | Dense]


def parameter_count(layers: Layers) -> int:
    """All parameters, those of batch normalisation that are not trained (moving statistics) included."""
    return sum(layer.parameters for layer in layers)


def torch_network(layers: Layers) -> torch.nn.Sequential:
    """The layers as torch modules, initialised from torch's global seed. Rectifiers are modules of their own."""
    from torch import nn

    modules: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, BatchNorm):
            modules.append(nn.BatchNorm1d(layer.width, eps=layer.epsilon))
        else:
            modules.append(nn.Linear(layer.inputs, layer.outputs))
            if layer.relu:
                modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def fix_statistics(network: torch.nn.Sequential, sample: torch.Tensor, clip: tuple[float, float] = (0.0, 1.0)) -> None:
    """Set the statistics of each batch normalisation to those of a whole sample, and keep them from now on.

    Training then sees the same function as inference. That matters for inputs over many orders of magnitude: the
    spread of a batch is that of its few largest entries, and changes from batch to batch.

    sample: (rows, inputs) float32
    clip:   quantiles; the first normalisation's statistics are of the inputs clipped to these, so that they
            describe the bulk
    """
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    hidden = sample
    with torch.no_grad():
        for index, module in enumerate(network):
            if isinstance(module, torch.nn.BatchNorm1d):
                counted = hidden
                if index == 0 and clip != (0.0, 1.0):
                    bounds = np.quantile(hidden.numpy(), clip, axis=0).astype(np.float32)
                    counted = torch.from_numpy(np.clip(hidden.numpy(), bounds[0], bounds[1]))
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(counted.mean(dim=0))
                module.running_var.copy_(counted.var(dim=0))
            hidden = module(hidden)


def onnx_model(
    network: torch.nn.Sequential,
    name: str,
    input_name: str,
    output_name: str,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The network as ONNX model: `input_name` (batch, inputs) float32 to `output_name` (batch, outputs) float32.

    metadata: what to write into the file's own notes, such as the seed
    """
    import torch  # pyright: ignore[reportMissingImports]

    graph = Graph(name, metadata)

    def parameter(label: str, values: torch.Tensor) -> str:
        return graph.parameter(label, values.detach().numpy().astype(np.float32))

    modules = list(network)
    first = modules[0]
    assert isinstance(first, torch.nn.BatchNorm1d | torch.nn.Linear)
    widths = [first.num_features if isinstance(first, torch.nn.BatchNorm1d) else first.in_features]
    counts: dict[str, int] = {}
    current = graph.input(input_name, ["batch", widths[0]])
    for index, module in enumerate(modules):
        kind = {"BatchNorm1d": "batchnorm", "Linear": "dense", "ReLU": "relu"}[type(module).__name__]
        counts[kind] = counts.get(kind, 0) + 1
        label = f"{kind}{counts[kind]}"
        named = {"label": label, "result": output_name if index == len(modules) - 1 else label}
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            inputs = [
                parameter(f"{label}.scale", module.weight),
                parameter(f"{label}.shift", module.bias),
                parameter(f"{label}.mean", module.running_mean),
                parameter(f"{label}.variance", module.running_var),
            ]
            current = graph.node("BatchNormalization", current, *inputs, **named, epsilon=module.eps)
            widths.append(module.num_features)
        elif isinstance(module, torch.nn.Linear):
            inputs = [parameter(f"{label}.weight", module.weight.T), parameter(f"{label}.bias", module.bias)]
            current = graph.node("Gemm", current, *inputs, **named)
            widths += [module.in_features, module.out_features]
        else:
            assert isinstance(module, torch.nn.ReLU)
            current = graph.node("Relu", current, **named)
    graph.output(output_name, current, ["batch", widths[-1]])
    return graph.model()


def predictions(network: torch.nn.Sequential, inputs: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The network's answers, in inference mode: inputs (rows, inputs) float32 to (rows, outputs) float32."""
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    with torch.no_grad():
        outputs: npt.NDArray[Any] = network(torch.from_numpy(inputs)).numpy()
    return outputs
