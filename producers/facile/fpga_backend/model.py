"""Triton's Python backend for the FPGA design of FACILE, compiled by hls4ml.

The library is `facile.so` beside this file; `python -m evproc.producers.facile.fpga_library --output models/facile_fpga/1`
puts both there. This file runs in a process of the server, and imports nothing of evproc.

Tensors go through DLPack only: see the backend for ONNX models in evproc's sonic_client.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # lives in the server

_USED = b"used_dltensor"  # kept here, because a capsule holds only a pointer to its name
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]


class TritonPythonModel:
    """One instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the library."""
        path = Path(args["model_repository"], args["model_version"], "facile.so")
        self.function = ctypes.CDLL(str(path)).evproc_words
        self.function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self.function.restype = None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """Run one request; whatever fails is this request's error only."""
        try:
            words = np.ascontiguousarray(np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "input")))
            answers = np.empty((len(words), 1), np.uint16)
            self.function(words.ctypes.data, answers.ctypes.data, len(words))
            capsule = answers.__dlpack__()
            tensor = pb_utils.Tensor.from_dlpack("output/BiasAdd", capsule)
            _set_name(capsule, _USED)
        except Exception as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse([tensor])
