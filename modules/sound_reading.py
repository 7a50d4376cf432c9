"""Reading on past what is broken.

Problem: one broken basket in a file of a million events must not cost the whole file, and what it costs must not depend on
chunks. Policy: a chunk that cannot be read is looked at piece by piece, for each branch; the pieces that cannot be read are
lost, in all branches, and what lies between them is read. So the entries that are lost are those of broken pieces of the
branches that are read, for any size of chunks. Entries are gone through once, in their order: none comes twice.
Cost: nothing as long as all is sound; a broken chunk is read about twice, piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from evproc.framework.columns import Column
from evproc.framework.errors import InputError

from .chunking import Run
from .root_reading import Reader

Lose = Callable[[int, int, str], None]
"""Called with the entries [start, stop) that cannot be read, and why."""


def read_sound(
    reader: Reader, keys: Sequence[str], plan: Sequence[Run], lose: Lose | None
) -> Iterator[tuple[int, int, dict[str, Column]]]:
    """The columns of each chunk of a plan, with its entries (start, stop); chunks with broken pieces come in parts.

    Raises InputError for what cannot be read if `lose` is None.
    """
    rest = list(plan)
    while rest:
        read = 0
        try:
            for part in reader.read(keys, rest):
                read += 1
                yield part
                del part
            return
        except InputError as error:
            if lose is None:
                raise
            (start, stop), rest = _behind(rest, read)
            broken = _broken(reader, keys, start, stop) or [(start, stop, str(error))]
        for begin, end, why in [*broken, (stop, stop, "")]:
            if start < begin:
                yield from reader.read(keys, [Run(start, begin, begin - start)])
            if begin < end:
                lose(begin, end, why)
            start = end


def _behind(plan: Sequence[Run], chunks: int) -> tuple[tuple[int, int], list[Run]]:
    """The chunk that comes after so many chunks of a plan, and the plan behind it."""
    for number, run in enumerate(plan):
        inside = run.chunks()
        if chunks < len(inside):
            stop = inside[chunks][1]
            after = [Run(stop, run.stop, run.step)] if stop < run.stop else []
            return inside[chunks], [*after, *plan[number + 1 :]]
        chunks -= len(inside)
    raise AssertionError("a plan failed behind its end")


def _broken(reader: Reader, keys: Sequence[str], start: int, stop: int) -> list[tuple[int, int, str]]:
    """The entries of a chunk that lie in broken pieces, with the reason: of the first branch in which they do."""
    broken: list[tuple[int, int, str]] = []
    for key in keys:
        bounds = reader.pieces([key])
        for begin, end in pairwise(bounds):
            if begin < stop and end > start and (why := _why(reader, key, begin, end)):
                broken = _joined(broken, (max(begin, start), min(end, stop), why))
    return broken


def _why(reader: Reader, key: str, begin: int, end: int) -> str:
    """Why a piece of a branch cannot be read; empty if it can."""
    try:
        for _ in reader.read([key], [Run(begin, end, end - begin)]):
            pass
    except InputError as error:
        return str(error)
    return ""


def _joined(broken: list[tuple[int, int, str]], new: tuple[int, int, str]) -> list[tuple[int, int, str]]:
    """Disjoint ranges, ascending, with the parts of a new one that they do not cover."""
    begin, end, why = new
    parts: list[tuple[int, int, str]] = []
    for start, stop, _ in broken:
        if begin < start < end:
            parts.append((begin, start, why))
        if start < end and stop > begin:
            begin = max(begin, stop)
    if begin < end:
        parts.append((begin, end, why))
    return sorted([*broken, *parts])
