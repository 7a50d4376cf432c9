"""What the Python models of Exa.TrkX have in common: tensors of the server to arrays, and back.

This file runs in a process of the server. It needs no evproc, and any Python from 3.10 on.

Tensors go through DLPack: the embedded server's helper library is compiled against NumPy 1, and its `as_numpy` gives
empty arrays with NumPy 2. It renames a capsule that it has taken to a name that NumPy does not know, and NumPy
would write a traceback into the log; so the capsule gets the name of the DLPack standard. An array without elements
gets the strides that the server expects (it takes others for "not contiguous"): products of the extents behind, 0 included.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # lives in the server

_USED = b"used_dltensor"  # kept here, because a capsule holds only a pointer to its name
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _tensor(name: str, array: Any) -> Any:
    array = np.ascontiguousarray(array)
    if not array.size:
        strides = [array.itemsize * int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
        array = np.lib.stride_tricks.as_strided(array, strides=strides)
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _set_name(capsule, _USED)
    return tensor


class StepModel:
    """A model whose answer is a function on arrays. Each request is answered by itself; its error is its own."""

    def setting(self, name: str) -> str:
        """A parameter of the model's configuration."""
        return str(self._config["parameters"][name]["string_value"])

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration."""
        self._config = json.loads(args["model_config"])
        self.folder = args["model_repository"]
        self.prepare()

    def prepare(self) -> None:
        """What a model does before its first request."""

    def step(self, *inputs: Any) -> Any:
        """The only output, of the inputs in the order of the configuration."""
        raise NotImplementedError

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer some requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            names = [tensor["name"] for tensor in self._config["input"]]
            tensors = [pb_utils.get_input_tensor_by_name(request, name) for name in names]
            result = self.step(*(np.from_dlpack(tensor) for tensor in tensors))
            return pb_utils.InferenceResponse([_tensor(self._config["output"][0]["name"], result)])
        except Exception as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(f"{type(error).__name__}: {error}"))
