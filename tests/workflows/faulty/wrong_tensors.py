"""Three producers that take the model `score` for something else."""

from __future__ import annotations

from scores import Scores

from evproc.framework import Path, Process
from evproc.modules import NtupleSource
from evproc.sonic_client import InferenceService


class WrongName(Scores):
    model_inputs = {"X1": "float32[2]"}


class WrongType(Scores):
    model_inputs = {"x": "float64[2]"}


class WrongShape(Scores):
    model_outputs = {"y": "float32[3]"}


process = Process("TENSORS")
process.source = NtupleSource(files="jets.root")
process.inference = InferenceService()
process.named = WrongName()
process.typed = WrongType()
process.shaped = WrongShape()
process.path = Path(process.named, process.typed, process.shaped)
