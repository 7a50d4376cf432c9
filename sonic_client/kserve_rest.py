"""Messages of the KServe v2 protocol over HTTP: JSON, with the tensors as bytes behind it.

The form is that of KServe's "binary tensor data extension": a JSON header that describes the tensors, then their bytes,
one after the other; a header of HTTP (`Inference-Header-Content-Length`) says where the JSON ends. A server that knows no
such extension answers in JSON alone, which is read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np

from .tensors import (
    Array,
    ModelMetadata,
    ModelStatistics,
    TensorSpec,
    datatype_of,
    dtype_of,
    from_wire,
    time_in_queues,
    to_wire,
)

JSON_LENGTH = "Inference-Header-Content-Length"

Described = tuple[str, str, tuple[int, ...], int]
"""Name, KServe's word for the type, shape and bytes of one tensor."""


def model_path(model: str, version: str) -> str:
    """The path of a model."""
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def infer_request(
    inputs: Mapping[str, Array], outputs: Sequence[str], request_id: str = "", priority: int = 0
) -> list[bytes | memoryview]:
    """The parts of a request's body, the JSON first. Raises ValueError for an array that no server can take."""
    described: list[Described] = []
    raw: list[bytes | memoryview] = []
    for name, array in inputs.items():
        try:
            data = to_wire(array)
            described.append((name, datatype_of(array.dtype), array.shape, len(data)))
        except ValueError as error:
            raise ValueError(f"input '{name}': {error}") from None
        raw.append(data)
    header = _request_header(tuple(described), tuple(outputs), priority)
    if request_id:
        header = b'{"id":' + json.dumps(request_id).encode() + b"," + header[1:]
    return [header, *raw]


@lru_cache(maxsize=1024)
def _request_header(inputs: tuple[Described, ...], outputs: tuple[str, ...], priority: int) -> bytes:
    request: dict[str, Any] = {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
            for name, datatype, shape, size in inputs
        ]
    }
    parameters: dict[str, Any] = {"priority": priority} if priority else {}
    if outputs:
        request["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    else:
        parameters["binary_data_output"] = True
    if parameters:
        request["parameters"] = parameters
    return json.dumps(request, separators=(",", ":")).encode()


def infer_answer(data: bytes, json_length: str | None, wanted: Sequence[str] = ()) -> dict[str, Array]:
    """The wanted outputs (all, if none is named) of an answer's body, by name.

    `json_length` is what the header of this name said. Raises ValueError for what cannot be.
    """
    body = memoryview(data)
    try:
        end = len(body) if json_length is None else int(json_length)
        answer = json.loads(data[:end])
        outputs = answer["outputs"]
        described = [(str(output["name"]), output) for output in outputs]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the answer is not one of KServe v2: {error}") from error
    names = [name for name, _ in described]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"output '{missing[0]}' was asked for and did not come (came: {', '.join(names) or 'none'})")
    found = {}
    for name, output in described:
        try:
            size = output.get("parameters", {}).get("binary_data_size")
            content = None
            if size is not None:
                content, end = body[end : end + size], end + size
            if not wanted or name in wanted:
                found[name] = _output(output, content)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"output '{name}': {error}") from None
    return found


def _output(output: Any, content: memoryview | None) -> Array:
    dtype, shape = dtype_of(output["datatype"]), tuple(int(extent) for extent in output["shape"])
    if any(extent < 0 for extent in shape):
        raise ValueError(f"its shape is stated as {shape}")
    if content is not None:
        return from_wire(content, dtype, shape)
    values = output["data"]
    if dtype.kind == "O":
        values = [value.encode() for value in np.ravel(np.array(values, object))]
    return np.array(values, dtype).reshape(shape)


def model_metadata(metadata: Any, config: Any) -> ModelMetadata:
    """From the JSON of a model's metadata and of its configuration. Raises ValueError, KeyError or TypeError."""
    most = int(config.get("max_batch_size", 0))
    optional = {tensor["name"] for tensor in config.get("input", ()) if tensor.get("optional")}

    def specs(tensors: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                tensor["name"],
                dtype_of(tensor["datatype"]),
                tuple(int(extent) for extent in tensor["shape"])[most > 0 :],
                tensor["name"] in optional,
            )
            for tensor in tensors
        )

    return ModelMetadata(
        name=metadata["name"],
        versions=tuple(metadata.get("versions", ())),
        platform=config.get("backend") or config.get("platform") or metadata.get("platform", ""),
        max_batch_size=most,
        inputs=specs(metadata["inputs"]),
        outputs=specs(metadata["outputs"]),
    )


def model_statistics(model: str, answer: Any) -> ModelStatistics:
    """From the JSON of a model's statistics, summed over its versions. Raises KeyError or TypeError."""
    rows = executions = requests = failures = queue = compute = 0
    for version in answer["model_stats"]:
        stats = version["inference_stats"]
        rows += version["inference_count"]
        executions += version["execution_count"]
        requests += stats["success"]["count"]
        failures += stats["fail"]["count"]
        computing = sum(stats[f"compute_{part}"]["ns"] for part in ("input", "infer", "output"))
        queue += time_in_queues(stats["queue"]["ns"], stats["success"].get("ns", 0), computing)
        compute += computing
    return ModelStatistics(model, rows, executions, requests, failures, queue * 1e-9, compute * 1e-9)
