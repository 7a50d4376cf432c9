"""Columns of a chunk as those of blocks: which share their offsets, what a part of them is, how many bytes events have."""

from __future__ import annotations

import numpy as np

from .columns import Array, Column, Jagged


def share_offsets(columns: dict[str, Column]) -> None:
    """Let jagged columns of equal offsets have the same array of them, so that what follows from it is made once."""
    kept: list[Array] = []
    for key, column in columns.items():
        if not isinstance(column, Jagged):
            continue
        offsets = column.offsets
        for other in kept:
            if other is offsets or (
                len(other) == len(offsets) and other[-1] == offsets[-1] and np.array_equal(other, offsets)
            ):
                columns[key] = Jagged(other, column.content)
                break
        else:
            kept.append(offsets)


def cut(columns: dict[str, Column], start: int, stop: int) -> dict[str, Column]:
    """The events from `start` to `stop` of several columns, without copying; those that share offsets go on to do so."""
    offsets: dict[int, Array] = {}
    parts: dict[str, Column] = {}
    for key, column in columns.items():
        if isinstance(column, Jagged):
            mine = offsets.get(id(column.offsets))
            if mine is None:
                mine = offsets[id(column.offsets)] = column.offsets[start : stop + 1]
            parts[key] = Jagged(mine, column.content)
        else:
            parts[key] = column.slice(start, stop)
    return parts


def bytes_before(columns: dict[str, Column], events: int) -> Array:
    """The bytes that several columns hold before each event: (events + 1,) float64, from 0 on."""
    even = 0.0
    rows: dict[int, tuple[Array, int]] = {}
    for column in columns.values():
        if isinstance(column, Jagged):
            per_row = column.content.nbytes // max(1, len(column.content))
            known = rows.get(id(column.offsets), (column.offsets, 0))[1]
            rows[id(column.offsets)] = (column.offsets, known + per_row)
        else:
            even += column.nbytes / max(1, events)
    before = even * np.arange(events + 1)
    for offsets, per_row in rows.values():
        before += (offsets - offsets[0]) * float(per_row)
    return before
