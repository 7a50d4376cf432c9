"""Small dense networks: one table of layers, from which come the parameter count, the torch module and the ONNX file.

The ONNX file is written node by node (BatchNormalization, Gemm, Relu) instead of by torch's exporter: the graph then
has exactly the layers of the table, readable names, no constants besides the parameters, and the same bytes each time.
Opset 15 and IR version 8 are read by the ONNX Runtime of Triton 2.51 and by hls4ml.

torch and onnx are imported inside the functions: serving a model needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx
    import torch  # pyright: ignore[reportMissingImports]

OPSET = 15
IR_VERSION = 8


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
    import onnx
    import torch  # pyright: ignore[reportMissingImports]
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    parameters: list[onnx.TensorProto] = []

    def parameter(label: str, values: torch.Tensor) -> str:
        array: npt.NDArray[np.float32] = np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)
        parameters.append(numpy_helper.from_array(array, label))
        return label

    widths: list[int] = []
    counts: dict[str, int] = {}
    current = input_name
    modules = list(network)
    for index, module in enumerate(modules):
        last = index == len(modules) - 1
        kind = {"BatchNorm1d": "batchnorm", "Linear": "dense", "ReLU": "relu"}[type(module).__name__]
        counts[kind] = counts.get(kind, 0) + 1
        label = f"{kind}{counts[kind]}"
        result = output_name if last else label
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            inputs = [
                parameter(f"{label}.scale", module.weight),
                parameter(f"{label}.shift", module.bias),
                parameter(f"{label}.mean", module.running_mean),
                parameter(f"{label}.variance", module.running_var),
            ]
            nodes.append(
                helper.make_node("BatchNormalization", [current, *inputs], [result], label, epsilon=module.eps)
            )
            widths.append(module.num_features)
        elif isinstance(module, torch.nn.Linear):
            inputs = [parameter(f"{label}.weight", module.weight.T), parameter(f"{label}.bias", module.bias)]
            nodes.append(helper.make_node("Gemm", [current, *inputs], [result], label))
            widths += [module.in_features, module.out_features]
        else:
            assert isinstance(module, torch.nn.ReLU)
            nodes.append(helper.make_node("Relu", [current], [result], label))
        current = result
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["batch", widths[0]])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["batch", widths[-1]])],
        parameters,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="evproc")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(sorted((metadata or {}).items())))
    onnx.checker.check_model(model, full_check=True)
    return model


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model, under a temporary name first; the same model gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(model.SerializeToString(deterministic=True))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def predictions(network: torch.nn.Sequential, inputs: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The network's answers, in inference mode: inputs (rows, inputs) float32 to (rows, outputs) float32."""
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    with torch.no_grad():
        outputs: npt.NDArray[Any] = network(torch.from_numpy(inputs)).numpy()
    return outputs
