"""The FACILE network: four dense layers with batch normalisation, 2,111 parameters.

It is "Model4Exp" of the public training code (JackDinsmore/FACILE on GitHub), layer by layer.
"""

from __future__ import annotations

from evproc.producers.dense_network import BatchNorm, Dense, Layers

INPUT = "input"
"""Name of the input tensor, (batch, 36) float32; the columns are `features.FEATURES`."""
OUTPUT = "energy"
"""Name of the output tensor, (batch, 1) float32, GeV."""

LAYERS: Layers = (
    BatchNorm(36, epsilon=1e-10),  # a gain of 3e-4 GeV/fC has a variance of 1e-8
    Dense(36, 36),
    BatchNorm(36),
    Dense(36, 11),
    BatchNorm(11),
    Dense(11, 3),
    Dense(3, 1, relu=False),
)
"""144 + 1332 + 144 + 407 + 44 + 36 + 4 = 2,111 parameters.

1,779 are in the dense layers, 332 in the normalisations, moving statistics included.
"""
