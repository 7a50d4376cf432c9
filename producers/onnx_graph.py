"""ONNX files written node by node: exactly the layers of the paper, readable names, and the same bytes each time.

    graph = Graph("deepcalo", {"seed": "1"})
    image = graph.input("image", ("batch", 56, 11, 4))
    hidden = graph.node("Gemm", image, graph.parameter("dense1.weight", weight), graph.parameter("dense1.bias", bias))
    graph.output("energy", graph.node("Relu", hidden), ("batch", 1))
    write_onnx(graph.model(), Path("model.onnx"))

An exporter would follow a traced program, with its version's own names and constants; here the parameters can be counted
layer by layer, in the file. Opset 15 and IR version 8 are read by the ONNX Runtime of Triton 2.51 and by hls4ml.

onnx is imported inside the functions: serving a model does not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework.new_files import in_one_step

if TYPE_CHECKING:
    import onnx

OPSET = 15
IR_VERSION = 8


class Graph:
    """An ONNX graph that grows node by node. Names of values are those of the nodes: `conv1`, `conv2`, `relu1`."""

    def __init__(self, name: str, metadata: Mapping[str, str] | None = None, opset: int = OPSET) -> None:
        """name: the graph's name; metadata: notes to write into the file, such as the seed; opset: a later one, up to 18."""
        self.name = name
        self.opset = opset
        self.metadata = dict(metadata or {})
        self.parameters: dict[str, npt.NDArray[Any]] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._counts: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[str | int], dtype: npt.DTypeLike = np.float32) -> str:
        """Declare an input tensor; a dimension that is a word is variable. Returns the name."""
        self._inputs.append(_value(name, shape, dtype))
        return name

    def parameter(self, name: str, values: npt.NDArray[Any]) -> str:
        """Keep an array in the file: weights, or a constant that an operator takes. Returns the name.

        raises: ValueError if the name is taken
        """
        if name in self.parameters:
            raise ValueError(f"two parameters of {self.name!r} are named {name!r}")
        self.parameters[name] = np.ascontiguousarray(values)
        return name

    def node(self, operator: str, *inputs: str, label: str = "", result: str = "", **attributes: Any) -> str:
        """Apply an ONNX operator to named values. Returns the name of its only output.

        label:      the node's name; by default the operator and a number
        result:     the output's name; by default the node's
        attributes: those of the operator
        """
        from onnx import helper

        if not label:
            kind = operator.lower()
            self._counts[kind] = self._counts.get(kind, 0) + 1
            label = f"{kind}{self._counts[kind]}"
        self._nodes.append(helper.make_node(operator, list(inputs), [result or label], label, **attributes))
        return result or label

    def output(self, name: str, value: str, shape: Sequence[str | int], dtype: npt.DTypeLike = np.float32) -> None:
        """Declare an output tensor. A value of another name is given this one."""
        if name != value:
            self.node("Identity", value, label=name)
        self._outputs.append(_value(name, shape, dtype))

    def model(self) -> onnx.ModelProto:
        """The finished model, checked. Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError."""
        import onnx
        from onnx import helper, numpy_helper

        kept = [numpy_helper.from_array(values, name) for name, values in self.parameters.items()]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, kept)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="evproc")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(sorted(self.metadata.items())))
        onnx.checker.check_model(model, full_check=True)
        return model


def _value(name: str, shape: Sequence[str | int], dtype: npt.DTypeLike) -> onnx.ValueInfoProto:
    """What ONNX wants to know of a tensor."""
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model, under a temporary name first; the same model gives the same bytes."""
    with in_one_step(path) as part:
        part.write_bytes(model.SerializeToString(deterministic=True))


def read_parameters(path: Path, names: Iterable[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The parameters in an ONNX file, by name: those named, in that order, or all. Raises ValueError if one is not there."""
    import onnx
    from onnx import numpy_helper

    kept = {one.name: numpy_helper.to_array(one).copy() for one in onnx.load(path).graph.initializer}
    wanted = list(kept if names is None else names)
    missing = [name for name in wanted if name not in kept]
    if missing:
        raise ValueError(
            f"'{path}' is of another network: {len(missing)} of {len(wanted)} parameters are not in it, as {missing[0]}"
        )
    return {name: kept[name] for name in wanted}
