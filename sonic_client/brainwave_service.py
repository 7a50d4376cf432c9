"""A service that answers as Azure's Brainwave does, with onnxruntime in the place of the FPGA.

    python -m evproc.sonic_client.brainwave_service models/resnet50_top_tagger/1/model.onnx --name resnet50 --key image

answers at `brainwave://127.0.0.1:PORT/resnet50` until Ctrl-C or SIGTERM. The protocol is TensorFlow Serving's
`PredictionService`, and of it one call, Predict: no model in the request, no description of it, no health. The input has one
key (`Placeholder:0` in CMS's client, `images` in the vendor's), the answer one tensor, of which clients take the first
whatever its key.

The FPGA has one picture in work at a time. So has this: requests wait in line, and one whose deadline passes there is given
up and never begun. Of the hardware's own arithmetic (Microsoft's narrow floats) nothing is emulated.

Sources: SonicCMS on GitHub, `Brainwave/src/TFClientRemote.cc`; Azure/aml-real-time-ai on GitHub, `client.py`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from .bytes_codec import BytesCodec
from .tensors import Array
from .tfs_messages import predict_inputs, predict_response

KEY = "Placeholder:0"
ANSWER = "output_alias"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class BrainwaveService:
    """The call, as grpclib takes it. `begun` counts the requests that came to the FPGA."""

    codec = BytesCodec()

    def __init__(self, function: Callable[[Array], Array], key: str = KEY, answer: str = ANSWER) -> None:
        """function: a request's tensor to the answer's; a ValueError of it says that the request is wrong."""
        self.function = function
        self.key = key
        self.answer = answer
        self.begun = 0
        self._turn = asyncio.Semaphore(1)
        self._fpga = ThreadPoolExecutor(1, thread_name_prefix="fpga")

    def __mapping__(self) -> dict[str, Handler]:
        """Predict alone."""
        return {_PREDICT: Handler(self._predict, Cardinality.UNARY_UNARY, bytes, bytes)}

    def close(self) -> None:
        """End, when the request that is in work is done."""
        self._fpga.shutdown()

    async def _predict(self, stream: Stream[Any, Any]) -> None:
        data: Any = await stream.recv_message()
        try:
            tensor = self._tensor(data or b"")
            async with self._turn:
                self.begun += 1
                answer = await asyncio.get_running_loop().run_in_executor(self._fpga, self.function, tensor)
        except ValueError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        except Exception as error:
            raise GRPCError(Status.INTERNAL, f"the model failed: {error!r}") from error
        await stream.send_message(predict_response({self.answer: answer}))

    def _tensor(self, data: bytes) -> Array:
        inputs = predict_inputs(data)
        if set(inputs) != {self.key}:
            raise ValueError(f"the input has the key '{self.key}', and {', '.join(inputs) or 'nothing'} came")
        return inputs[self.key]


def onnx_function(path: Path, threads: int = 1) -> Callable[[Array], Array]:
    """A network of one input and one output (or its first) as a function; wrong shapes are ValueErrors."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    first = session.get_outputs()[0].name

    def run(tensor: Array) -> Array:
        try:
            answer: Array = session.run([first], {given.name: tensor})[0]
        except InvalidArgument as error:
            raise ValueError(str(error)) from error
        return answer

    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.sonic_client.brainwave_service MODEL.onnx`."""
    from .serving import serve

    parser = argparse.ArgumentParser(
        prog="python -m evproc.sonic_client.brainwave_service",
        description="Serve an ONNX model as Azure's Brainwave does, on 127.0.0.1.",
    )
    parser.add_argument("model", type=Path, help="the ONNX file")
    parser.add_argument("--name", help="what clients call the model; by default the folder of its repository")
    parser.add_argument("--key", default=KEY, help="key of the input (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port; 0, the default, is a free one")
    parser.add_argument("--threads", type=int, default=1, help="threads of onnxruntime (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if not chosen.model.is_file():
        parser.error(f"there is no model {chosen.model}")
    function = onnx_function(chosen.model, chosen.threads)
    name = chosen.name or chosen.model.absolute().parent.parent.name
    serve(lambda: BrainwaveService(function, chosen.key), "brainwave", chosen.port, f"/{name}")


if __name__ == "__main__":
    main()
