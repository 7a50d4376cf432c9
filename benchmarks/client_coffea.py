"""The same inference with the same CPU work beside it: a job of evproc, and a processor of coffea with its `triton_wrapper`.

Both read five rows of 16 floats for each event from an ntuple, and burn a fixed CPU time for each event.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from benchmarks.mlp import LAYERS, NAME
from benchmarks.overlap import burn
from evproc.framework import Analyzer, Columns, EndPath, Event, Job, Path, Process, Producer
from evproc.modules import NtupleSource
from evproc.sonic_client import Client, InferenceProducer, InferenceService

ROWS = 5
WIDTH = LAYERS[0]
WORK = 10e-6
"""CPU time beside the inference, of one event, s."""
SLICE = 500
"""Events whose CPU time is burnt in one go: long computations are told apart from short ones by nobody else."""


def write(path: FilePath, x: Any) -> str:
    """The ntuple of `x`: (events, 5, 16) float32; returns its path."""
    import uproot

    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("Events", {"x": np.dtype((np.float32, (ROWS * WIDTH,))), "number": np.dtype(np.int32)})
        for first in range(0, len(x), 20_000):
            part = x[first : first + 20_000].reshape(-1, ROWS * WIDTH)
            tree.extend({"x": part, "number": np.arange(first, first + len(part), dtype=np.int32)})
    return str(path)


class FlatScores(InferenceProducer):
    """Five scores for each event."""

    consumes = ("x",)
    model_inputs = {"x": f"float32[{WIDTH}]"}
    model_outputs = {"y": "float32[1]"}
    produces = "var * float32"

    def acquire(self, event: Event) -> Mapping[str, Any]:
        """The rows of one event: (5, 16) float32."""
        return {"x": event["x"].reshape(ROWS, WIDTH)}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        """Its scores: (5,) float32."""
        return outputs["y"].ravel()


class Work(Producer):
    """Uses the CPU."""

    consumes = ("number",)
    produces = "int32"

    def produce_columns(self, columns: Columns) -> Any:
        """Burns, for each event of a block."""
        numbers = columns["number"]
        burn(WORK * len(numbers))
        return numbers


class Sum(Analyzer):
    """The sum of all scores, and their number."""

    consumes = ("scores", "work")

    def begin_job(self, job: Job) -> None:
        """Nothing yet."""
        self.total, self.count = 0.0, 0

    def analyze_columns(self, columns: Columns) -> None:
        """Add those of a block."""
        scores = columns.jagged("scores")[1]
        self.total += float(scores.sum(dtype=np.float64))
        self.count += len(scores)


def run_evproc(file: str, url: str, chunk: int, model: str = NAME) -> tuple[float, int]:
    """The job: the sum and the number of the scores."""
    process = Process("CLIENT")
    process.source = NtupleSource(files=file, chunk=chunk)
    process.inference = InferenceService(servers=[url])
    process.scores = FlatScores(client=Client(model=model))
    process.work = Work()
    process.sum = Sum()
    process.path = Path(process.scores, process.work)
    process.end = EndPath(process.sum)
    process.run()
    return process.sum.total, process.sum.count


def run_coffea(file: str, url: str, chunk: int, model: str = NAME) -> tuple[float, int]:
    """The same with coffea's Runner and its `triton_wrapper`."""
    import awkward as ak
    from coffea import processor
    from coffea.ml_tools.triton_wrapper import triton_wrapper
    from coffea.nanoevents import BaseSchema

    schema: Any = BaseSchema

    class Wrapper(triton_wrapper):  # type: ignore[misc]
        def prepare_awkward(self, x: Any) -> Any:
            return [["y"], {"x": x}], {}

    class Scorer(processor.ProcessorABC):  # type: ignore[misc]
        def __init__(self) -> None:
            self.wrapper: Any = Wrapper(f"triton+{url}/{model}/1", client_args={"ssl": False})

        def process(self, events: Any) -> dict[str, Any]:
            rows = ak.to_numpy(events.x).reshape(-1, WIDTH)
            scores = ak.to_numpy(self.wrapper(ak.from_numpy(rows))["y"])
            for first in range(0, len(events), SLICE):
                burn(WORK * min(SLICE, len(events) - first))
            return {"total": float(scores.sum(dtype=np.float64)), "count": int(scores.size)}

        def postprocess(self, accumulator: Any) -> Any:
            return accumulator

    runner = processor.Runner(
        executor=processor.IterativeExecutor(compression=None, status=False),
        pre_executor=processor.IterativeExecutor(compression=None, status=False),
        schema=schema,
        chunksize=chunk,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the metadata of a server gives no batch dimension of its own
        found: Any = runner({"data": [file]}, processor_instance=Scorer(), treename="Events")
    return found["total"], found["count"]
