"""The jet energy network: one hidden layer, 149 parameters, as few as the few jets of its training ask for."""

from __future__ import annotations

from evproc.producers.dense_network import BatchNorm, Dense, Layers

INPUT = "input"
"""Name of the input tensor, (batch, 11) float32; the columns are `features.FEATURES`."""
OUTPUT = "factor"
"""Name of the output tensor, (batch, 1) float32: generator over reconstructed pT."""

LAYERS: Layers = (
    BatchNorm(11, epsilon=1e-6),
    Dense(11, 8),
    Dense(8, 1, relu=False),
)
"""44 + 96 + 9 = 149 parameters."""
