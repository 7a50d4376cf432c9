"""FACILE on an FPGA, the client's side: features to words, words to energies; NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.sonic_client.fixed_point import pack_rows, unpack_rows

from .features import FEATURES
from .fpga_design import INPUTS, FixedDesign, shipped_design

Floats = npt.NDArray[np.float32]

_COLUMNS = np.array([FEATURES.index(name) for name in INPUTS])


def feature_words(features: Floats, design: FixedDesign | None = None) -> npt.NDArray[np.uint16]:
    """What is sent for some channels: each input less its offset, times its factor, as `ap_fixed<16,6>`.

    features: (channels, 36) float32, as `channel_features` makes them
    design:   the shipped one by default
    returns:  (channels, 32) uint16; numbers beyond -32 and 32 are clipped there
    raises ValueError for a feature that is not finite
    """
    design = design or shipped_design()
    words: npt.NDArray[np.uint16] = pack_rows((features[:, _COLUMNS] - design.offset) * design.factor)
    return words


def word_energies(words: npt.NDArray[Any], design: FixedDesign | None = None) -> Floats:
    """What comes back, as energies: (channels, 1) or (channels,) uint16 to (channels,) float32, GeV."""
    design = design or shipped_design()
    energies: Floats = unpack_rows(words).reshape(len(words)) * np.float32(design.output_unit)
    return energies


def padded_rows(words: npt.NDArray[np.uint16], rows: int) -> npt.NDArray[np.uint16]:
    """The words with rows of zeros behind, up to a multiple of `rows`; none are added to none, or if `rows` is 0."""
    missing = -len(words) % rows if rows else 0
    return np.concatenate([words, np.zeros((missing, words.shape[1]), np.uint16)]) if missing else words
