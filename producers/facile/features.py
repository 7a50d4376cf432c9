"""The 36 inputs of FACILE, in the order of the published network: four of the channel, then eight slices of four kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FEATURES: tuple[str, ...] = (
    "ieta",
    "iphi",
    "depth",
    "gain",
    *(f"charge{time_slice}" for time_slice in range(8)),
    *(f"pedestal{time_slice}" for time_slice in range(8)),
    *(f"noiseADC{time_slice}" for time_slice in range(8)),
    *(f"noisePhoto{time_slice}" for time_slice in range(8)),
)
"""Names of the inputs: detector indices; gain in GeV/fC; charge, pedestal and noises in fC per slice of 25 ns."""

TILE = 1024
"""Rows filled at a time: 147 kB stay in the cache while 36 columns go in, twice as fast as whole columns of 16,000."""


def channel_features(channels: Any) -> npt.NDArray[np.float32]:
    """The network's input for the channels of one event, or of many events at once.

    channels: anything whose attributes (a mapping: whose keys) are the names in `FEATURES`, (channels,) of any numeric dtype
    returns:  (channels, 36) float32, C-contiguous; (0, 36) for no channels
    raises AttributeError (KeyError) if one is missing, ValueError if their lengths differ
    """
    if isinstance(channels, Mapping):
        columns = [channels[name] for name in FEATURES]
    else:
        columns = [getattr(channels, name) for name in FEATURES]
    features = np.empty((len(columns[0]), len(FEATURES)), dtype=np.float32)
    for name, column in zip(FEATURES, columns, strict=True):
        if len(column) != len(features):
            raise ValueError(f"{name} has {len(column)} channels, {FEATURES[0]} has {len(features)}")
    for start in range(0, len(features), TILE):
        tile = features[start : start + TILE]
        for index, column in enumerate(columns):
            tile[:, index] = column[start : start + TILE]
    return features
