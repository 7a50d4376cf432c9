"""Rows of numbers in fixed point, as FPGA servers take them.

FaaST's FACILE takes `ap_fixed<16,6>`: 16 bits, of which 6 stand before the point, so that a number is a whole multiple of
2**-10 between -32 and 32. A row is padded to 32 words, 64 bytes, the width of the memory bus of the card (FaaST,
`kernel_params.h` and `alveo_hls4ml.cpp`).

The hardware's own conversion (`AP_TRN`) drops what is finer than the last bit, towards minus infinity; so does this one. What
does not fit is clipped here; the hardware would wrap it round, which turns 32 into -32.
"""

from __future__ import annotations

import numpy as np

from .tensors import Array

WORDS = 32
"""16-bit words of a row of FaaST."""


def pack_rows(values: Array, words: int = WORDS, *, integer_bits: int = 6, bits: int = 16) -> Array:
    """values: (rows, n), n <= words -> (rows, words) uint16, zeros behind. Raises ValueError for what no word can hold."""
    if values.ndim != 2 or values.shape[1] > words:
        raise ValueError(f"rows of at most {words} numbers are packed, not an array of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a number that is not finite has no place in fixed point")
    most = 1 << (bits - 1)
    scaled = np.floor(values.astype(np.float64) * 2.0 ** (bits - integer_bits))
    packed = np.zeros((len(values), words), np.uint16)
    packed[:, : values.shape[1]] = np.clip(scaled, -most, most - 1).astype(np.int16).view(np.uint16)
    return packed


def unpack_rows(packed: Array, *, integer_bits: int = 6, bits: int = 16) -> Array:
    """packed: (rows, n) uint16 -> (rows, n) float32."""
    return packed.view(np.int16).astype(np.float32) * np.float32(2.0 ** (integer_bits - bits))
