"""FACILE in fixed point: the design that an FPGA holds, as whole numbers, and what a client does before and after it.

    python -m evproc.producers.facile.fpga_design --output producers/facile/fpga_design.json

The problem: the network's inputs reach from 1e-4 (gain, GeV/fC) to 1e6 (charge, fC), its answers to 400 GeV, and every number
in the FPGA is an `ap_fixed<16,6>`: a multiple of 2**-10 from -32 to just below 32. The policy:

1. The first batch normalisation's mean and deviation are taken off by the client, in float32, before the words are made.
   Each input is then multiplied by the power of two that brings the largest value of the calibration sample just below 32;
   what is larger still is clipped there. (5 channels in 100,000 of the toy have such an input, of an early crossing.)
2. FaaST's rows have 32 words, FACILE 36 inputs. The read-out has four capacitors in turn, so the pedestals of slices 4 to 7
   are those of 0 to 3; their weights are added, which changes nothing, and the second four are not sent.
3. The other normalisations, and scale and shift of the first, are folded into the dense layers behind them: exact.
4. A rectifier commutes with a positive factor. So each hidden neuron is multiplied by a power of two, and the weights behind
   it divided, so that its largest value in the calibration sample fills its word.
5. The answer is the energy in units of 16 GeV: up to 512 GeV, in steps of 16 MeV.
6. Weights and biases are rounded to words. Products and sums are exact (`ap_fixed<40,20>`); the result of each layer is
   rounded half up and clipped (`AP_RND`, `AP_SAT`), never wrapped round.

Cost: see docs/fpga.md; most of it comes from the rounding of weights, whose steps are the same for the small ones. What would
change it: training with rounded weights, or other words than those of FaaST.

The calibration sample's seeds, 1,500,000 and the next, are in neither the training nor any test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.producers.dense_network import BatchNorm
from evproc.producers.onnx_graph import read_parameters

from .features import FEATURES
from .network import LAYERS

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.int16]

BITS, INTEGER_BITS = 16, 6
"""A word is `ap_fixed<16,6>`."""
STEPS = 1 << (BITS - INTEGER_BITS)
"""Steps of a word in 1."""
LIMIT = float(1 << (INTEGER_BITS - 1))
"""Words are from -LIMIT to just below it."""
OUTPUT_UNIT = 16.0
"""What 1 in the answer stands for, GeV."""
REPEATED = ("pedestal4", "pedestal5", "pedestal6", "pedestal7")
"""Inputs that are the same as those four places before, and are not sent."""
INPUTS: tuple[str, ...] = tuple(name for name in FEATURES if name not in REPEATED)
"""The 32 inputs that are sent, in order."""
CALIBRATION_SEED = 1_500_000
FILE = Path(__file__).with_name("fpga_design.json")


@dataclass(frozen=True, slots=True)
class FixedLayer:
    """A dense layer in whole numbers of steps; all but the last of a design have a rectifier behind them."""

    weights: Words
    """weights: (inputs, outputs) int16, steps of 2**-10"""
    biases: Words
    """biases: (outputs,) int16, steps of 2**-10"""


@dataclass(frozen=True, slots=True)
class FixedDesign:
    """What the client does, and what the FPGA does."""

    offset: Floats
    """offset: (32,) float32, what the client takes off each input"""
    factor: Floats
    """factor: (32,) float32, what it multiplies the rest by"""
    layers: tuple[FixedLayer, ...]
    output_unit: float = OUTPUT_UNIT
    """GeV for 1 in the answer"""

    def to_json(self) -> str:
        """The design as text: the same design gives the same bytes."""
        layers = [{"weights": layer.weights.tolist(), "biases": layer.biases.tolist()} for layer in self.layers]
        content = {
            "inputs": list(INPUTS),
            "offset": self.offset.tolist(),
            "factor": self.factor.tolist(),
            "output_unit": self.output_unit,
            "layers": layers,
        }
        return (
            json.dumps(content, separators=(",", ":")).replace('"layers"', '\n"layers"').replace("],[", "],\n[") + "\n"
        )


def read_design(text: str) -> FixedDesign:
    """From what `to_json` wrote. Raises ValueError or KeyError for a text that is no design."""
    content = json.loads(text)
    if content["inputs"] != list(INPUTS):
        raise ValueError(f"the design has other inputs than {INPUTS}")
    layers = [
        FixedLayer(np.array(layer["weights"], np.int16), np.array(layer["biases"], np.int16))
        for layer in content["layers"]
    ]
    offset, factor = (np.array(content[name], np.float32) for name in ("offset", "factor"))
    return FixedDesign(offset, factor, tuple(layers), content["output_unit"])


@lru_cache(maxsize=1)
def shipped_design() -> FixedDesign:
    """The design of the network in models/facile."""
    return read_design(FILE.read_text(encoding="utf-8"))


def emulate(design: FixedDesign, words: npt.NDArray[Any]) -> Words:
    """What the FPGA answers, by NumPy alone; float64 holds its sums exactly, for they have fewer than 53 bits.

    words:   (rows, 32) int16 or uint16
    returns: (rows,) int16
    """
    hidden: Doubles = words.view(np.int16).astype(np.float64)
    for number, layer in enumerate(design.layers, start=1):
        sums = hidden @ layer.weights.astype(np.float64) + layer.biases.astype(np.float64) * STEPS
        hidden = np.clip(np.floor(sums / STEPS + 0.5), -LIMIT * STEPS, LIMIT * STEPS - 1)
        if number < len(design.layers):
            hidden = np.maximum(hidden, 0.0)
    return hidden[:, 0].astype(np.int16)


def make_design(parameters: Mapping[str, npt.NDArray[Any]], calibration: Floats) -> FixedDesign:
    """Fold, scale and round a network.

    parameters:  of the ONNX file, by name: `dense1.weight`, `batchnorm1.mean` ...
    calibration: features (channels, 36) float32
    raises KeyError for a parameter that is missing
    """
    mean, deviation, weights, biases = _folded(parameters)
    standard = (calibration[:, [FEATURES.index(name) for name in INPUTS]] - mean) / deviation
    scale = _power(np.abs(standard).max(axis=0))
    factor = scale / deviation
    weights[0] /= scale[:, None]
    hidden = standard * scale
    for layer in range(len(weights) - 1):
        hidden = np.maximum(hidden @ weights[layer] + biases[layer], 0.0)
        largest = np.maximum(np.abs(weights[layer]).max(axis=0), np.abs(biases[layer]))
        scale = np.minimum(_power(hidden.max(axis=0)), _power(largest))
        weights[layer] *= scale
        biases[layer] *= scale
        weights[layer + 1] /= scale[:, None]
        hidden *= scale
    weights[-1] /= OUTPUT_UNIT
    biases[-1] /= OUTPUT_UNIT
    layers = [FixedLayer(_rounded(*pair)[0], _rounded(*pair)[1]) for pair in zip(weights, biases, strict=True)]
    return FixedDesign(mean.astype(np.float32), factor.astype(np.float32), tuple(layers))


def _folded(parameters: Mapping[str, npt.NDArray[Any]]) -> tuple[Doubles, Doubles, list[Doubles], list[Doubles]]:
    """mean and deviation of the 32 inputs; weights and biases of dense layers alone behind them."""
    norms = [layer for layer in LAYERS if isinstance(layer, BatchNorm)]

    def values(name: str) -> Doubles:
        return np.asarray(parameters[name], np.float64)

    weights = [values(f"dense{number}.weight").copy() for number in range(1, 5)]
    biases = [values(f"dense{number}.bias").copy() for number in range(1, 5)]
    deviations = [np.sqrt(values(f"batchnorm{n}.variance") + norm.epsilon) for n, norm in enumerate(norms, start=1)]
    for layer, deviation in enumerate(deviations):
        scale, shift = values(f"batchnorm{layer + 1}.scale"), values(f"batchnorm{layer + 1}.shift")
        if layer:
            scale = scale / deviation
            shift = shift - scale * values(f"batchnorm{layer + 1}.mean")
        biases[layer] += shift @ weights[layer]
        weights[layer] *= scale[:, None]
    mean, deviation = values("batchnorm1.mean"), deviations[0]
    kept = [FEATURES.index(name) for name in INPUTS]
    for name in REPEATED:
        there = FEATURES.index(name)
        here = there - 4
        weights[0][here] += weights[0][there] * deviation[here] / deviation[there]
        biases[0] += weights[0][there] * (mean[here] - mean[there]) / deviation[there]
    weights[0] = weights[0][kept]
    return mean[kept], deviation[kept], weights, biases


def _power(largest: Doubles) -> Doubles:
    """The powers of two that bring these just below the limit of a word."""
    below = (LIMIT * STEPS - 1) / STEPS
    powers: Doubles = 2.0 ** np.floor(np.log2(below / np.maximum(largest, 2.0**-10)))
    return powers


def _rounded(*arrays: Doubles) -> list[Words]:
    most = int(LIMIT * STEPS)
    return [np.clip(np.floor(array * STEPS + 0.5), -most, most - 1).astype(np.int16) for array in arrays]


def calibration_features(events: int = 3) -> Floats:
    """features: (channels, 36) float32 of `events` events of the falling spectrum, and as many of the flat one."""
    from .features import channel_features
    from .sample import FALLING, FLAT, make_channels

    return np.concatenate(
        [
            channel_features(make_channels(16_000, CALIBRATION_SEED + number, event, spectrum))
            for number, spectrum in enumerate((FALLING, FLAT))
            for event in range(events)
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.fpga_design --output fpga_design.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.facile.fpga_design", description="Make the fixed-point design of FACILE."
    )
    parser.add_argument("--model", type=Path, default=Path("models/facile/1/model.onnx"), help="the ONNX file")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    chosen = parser.parse_args(arguments)
    design = make_design(read_parameters(chosen.model), calibration_features())
    chosen.output.write_text(design.to_json())
    print(f"{chosen.output} written")  # noqa: T201


if __name__ == "__main__":
    main()
