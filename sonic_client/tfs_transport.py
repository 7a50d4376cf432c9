# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""TensorFlow Serving's PredictionService over grpclib, and the Azure Brainwave service, which speaks a part of it.

    tfs://gpu1.example.org:8500/resnet50              several models: .../resnet50,deepcalo
    brainwave://fpga.example.org:80/resnet50

TensorFlow Serving has no list of its models, so the address names those that are asked for; `GetModelStatus` says which of
them are ready, and `GetModelMetadata` what their tensors are.

Brainwave served one model at an address, on an FPGA. Of the protocol it has `Predict` alone: no model is named in the
request, its input has the key that the service was made with (`Placeholder:0`, often), and its answer has one output,
which is the answer whatever its key (SonicCMS, Brainwave/src/TFClientRemote.cc). What its tensors are is read from a
description on our side: a `config.pbtxt` in the folder that `Connection.descriptions` names. The same serves any server that
does not describe its models.

The protocol knows no priorities, no identity of requests and no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grpclib.exceptions import GRPCError

from evproc.framework.errors import InferenceError

from . import tfs_messages
from .connection import DEFAULT, Connection
from .grpclib_transport import GrpclibTransport
from .protos import tfs as messages
from .repository import read_metadata
from .tensors import Array, ModelMetadata, ModelStatistics, Tensor, arrays_of
from .transport import contract_error, status_error


class TfsTransport(GrpclibTransport):
    """TensorFlow Serving."""

    _names_model = True

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._models = tuple(name for name in self.address.path.split(",") if name)

    def _path(self, method: str) -> str:
        return f"/tensorflow.serving.{method}"

    async def _predictable(self, model: str, timeout: float) -> bool:
        """Whether a model is ready. Raises InferenceError if the server is not there."""
        request = messages.GetModelStatusRequest(model_spec=tfs_messages.model_spec(model, ""))
        try:
            answer = await self._get("ModelService/GetModelStatus", request, messages.GetModelStatusResponse, timeout)
        except InferenceError as error:
            if (status := _status(error)) in ("NOT_FOUND", "UNIMPLEMENTED"):
                return status == "UNIMPLEMENTED"  # one that does not say is believed to have it
            raise
        available = messages.ModelVersionStatus.AVAILABLE
        return any(version.state == available for version in answer.model_version_status)

    async def ready(self, timeout: float) -> bool:
        """Whether a model of the address is ready. Never raises."""
        try:
            return bool(await self.models(timeout))
        except InferenceError:
            return False

    async def models(self, timeout: float) -> tuple[str, ...]:
        """The models of the address that are ready, by name, sorted."""
        return tuple(sorted([model for model in self._models if await self._predictable(model, timeout)]))

    async def metadata(self, model: str, version: str, timeout: float) -> ModelMetadata:
        """What our description says of a model, or else the server."""
        folder = Path(self.connection.descriptions)
        if self.connection.descriptions and (folder / model / "config.pbtxt").is_file():
            try:
                return read_metadata(folder, model)
            except ValueError as error:
                raise contract_error(str(error), server=self.url, model=model) from error
        return await self._stated(model, version, timeout)

    async def _stated(self, model: str, version: str, timeout: float) -> ModelMetadata:
        spec = tfs_messages.model_spec(model, version)
        request = messages.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        kind = messages.GetModelMetadataResponse
        answer = await self._get("PredictionService/GetModelMetadata", request, kind, timeout, model)
        try:
            return tfs_messages.described(model, answer)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """Raises RequestRejected: the protocol has none."""
        raise status_error("UNIMPLEMENTED", "TensorFlow Serving states no statistics", server=self.url, model=model)

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
        priority: int = 0,
    ) -> dict[str, Array]:
        """Send one Predict, and return the outputs asked for (all, if `outputs` is empty), by name."""
        spec = tfs_messages.model_spec(model, version) if self._names_model else None
        try:
            request = tfs_messages.predict_request(spec, arrays_of(inputs), outputs if self._names_model else ())
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error
        data = await self._call("PredictionService/Predict", request, timeout, model)
        try:
            return self._chosen(tfs_messages.predict_answer(data), outputs)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    def _chosen(self, answer: dict[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        if missing := [name for name in outputs if name not in answer]:
            came = ", ".join(answer) or "none"
            raise ValueError(f"output '{missing[0]}' was asked for and did not come (came: {came})")
        return {name: answer[name] for name in outputs} if outputs else answer

    async def _get(self, method: str, request: Any, kind: Any, timeout: float, model: str = "") -> Any:
        data = await self._call(method, request.SerializeToString(), timeout, model)
        try:
            return kind.FromString(data)
        except Exception as error:  # protobuf's DecodeError, of whichever implementation
            words = f"the answer to {method} cannot be read: {error}"
            raise contract_error(words, server=self.url, model=model) from error


class BrainwaveTransport(TfsTransport):
    """The Azure Brainwave service: one model, and nothing but Predict."""

    _names_model = False

    async def _predictable(self, model: str, timeout: float) -> bool:
        """It is there if anything answers at its address, were it that the call is not known."""
        try:
            await super()._predictable(model, timeout)
        except InferenceError as error:
            if _status(error) in (None, "UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
        return True

    async def _stated(self, model: str, version: str, timeout: float) -> ModelMetadata:
        folder = self.connection.descriptions or "not set"
        raise contract_error(
            "a Brainwave service does not describe its model: a file config.pbtxt of it must be in the folder"
            f" connection.descriptions ({folder})",
            server=self.url,
            model=model,
        )

    def _chosen(self, answer: dict[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        if len(outputs) == 1 and len(answer) == 1:
            return {outputs[0]: next(iter(answer.values()))}
        return super()._chosen(answer, outputs)


def _status(error: InferenceError) -> str | None:
    """The name of the gRPC status behind an error; None if no server said one."""
    return error.__cause__.status.name if isinstance(error.__cause__, GRPCError) else None
