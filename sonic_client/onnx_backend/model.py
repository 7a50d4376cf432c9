"""The backend `onnxruntime` of the embedded server: ONNX models, on the CPU, by the package onnxruntime.

Triton's own ONNX Runtime backend is a library of its container, which the wheel does not carry. Since 23.10
Triton takes a backend that is a folder with a `model.py`; under the name `onnxruntime` this one makes an
ordinary model repository work untouched: what is served here is served by a full Triton on a GPU from the
same files.

This file runs in a process of the server, and imports nothing of evproc.

- Each request is run by itself, though the server may hand over several: then no result depends on what
  other requests happened to be there. (A network library rounds differently for other batch sizes.)
- One thread for one model instance, unless the model's configuration says otherwise, with the parameters
  `intra_op_thread_count` and `inter_op_thread_count` as in Triton's own backend.
- A request of many rows is run in pieces of so many rows, if the parameter `rows_per_run` says so. What lies between the
  layers then stays in the cache, and its memory is bounded: a network whose convolution makes 370 kB of a row takes 6 GB
  and more for 16,384 rows at once, and three times the CPU. Other servers ignore the parameter.
- Tensors go through DLPack only. The server's helper library is compiled against NumPy 1, and its
  `as_numpy` gives empty tensors with NumPy 2, without an error. BYTES and BF16, which DLPack and NumPy do
  not share, are refused by name.
- A configuration without inputs or outputs is completed from the ONNX file, also as Triton's own backend
  does.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # lives in the server

_USED = b"used_dltensor"  # kept here, because a capsule holds only a pointer to its name
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]

_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


def _session(path: Path, config: dict[str, Any]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    parameters = config.get("parameters", {})
    default = os.environ.get("EVPROC_ONNX_THREADS", "1")
    for kind in ("intra_op", "inter_op"):
        threads = parameters.get(f"{kind}_thread_count", {}).get("string_value", default)
        setattr(options, f"{kind}_num_threads", int(threads))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _own_file() -> Path:
    """The model's file, while the server asks for the configuration: it says so on the command line only."""
    return Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode())


def _tensor(name: str, array: Any) -> Any:
    """An output for the server. It renames the capsule that it has taken to a name that NumPy does not know, and NumPy
    would write a traceback into the log for each; so the capsule gets the name that the DLPack standard asks for. It takes
    strides other than the products of the extents for "not contiguous", also where there is no element."""
    array = np.ascontiguousarray(array)
    if not array.size:
        strides = [array.itemsize * int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
        array = np.lib.stride_tricks.as_strided(array, strides=strides)
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _set_name(capsule, _USED)
    return tensor


def _check_types(config: dict[str, Any]) -> None:
    for tensor in (*config["input"], *config["output"]):
        if tensor["data_type"] not in _TYPES.values():
            raise pb_utils.TritonModelException(
                f"tensor '{tensor['name']}' is {tensor['data_type']}, which evproc's embedded server cannot carry; "
                f"it carries {', '.join(_TYPES.values())}"
            )


class TritonPythonModel:
    """One instance of one model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Take inputs and outputs from the ONNX file where the configuration has none."""
        config = auto_complete_model_config.as_dict()
        if config["input"] and config["output"]:
            return auto_complete_model_config
        session = _session(_own_file(), config)
        batched = config["max_batch_size"] > 0
        for tensors, known, add in (
            (session.get_inputs(), config["input"], auto_complete_model_config.add_input),
            (session.get_outputs(), config["output"], auto_complete_model_config.add_output),
        ):
            for tensor in () if known else tensors:
                dims = [extent if isinstance(extent, int) else -1 for extent in tensor.shape]
                add({"name": tensor.name, "data_type": _TYPES[tensor.type], "dims": dims[batched:]})
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the ONNX file of this version."""
        config = json.loads(args["model_config"])
        _check_types(config)
        file = config["default_model_filename"] or "model.onnx"
        self.session = _session(Path(args["model_repository"], args["model_version"], file), config)
        pieces = config.get("parameters", {}).get("rows_per_run", {}).get("string_value", "0")
        self.rows_per_run = int(pieces) if config["max_batch_size"] > 0 else 0
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self.answer(request) for request in requests]

    def run(self, wanted: list[str], feeds: dict[str, Any]) -> list[Any]:
        """The outputs for these rows, computed together or in pieces."""
        most = self.rows_per_run
        rows = max((len(array) for array in feeds.values()), default=0) if most else 0
        if rows <= most:
            return list(self.session.run(wanted, feeds))
        parts = [
            self.session.run(wanted, {name: array[start : start + most] for name, array in feeds.items()})
            for start in range(0, rows, most)
        ]
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]

    def answer(self, request: Any) -> Any:
        """Run one request; whatever fails is this request's error only."""
        try:
            feeds = {}
            for name in self.inputs:
                tensor = pb_utils.get_input_tensor_by_name(request, name)
                if tensor is not None:
                    feeds[name] = np.from_dlpack(tensor)
            wanted = [name for name in self.outputs if name in request.requested_output_names()]
            arrays = self.run(wanted, feeds)
            tensors = [_tensor(name, array) for name, array in zip(wanted, arrays, strict=True)]
        except Exception as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse(tensors)
