"""Numbers, times and sizes as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def count(number: int, noun: str, nouns: str = "") -> str:
    """`1 event`, `12,000 events`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """`40 us`, `4.2 ms`, `8.31 s`, `2 min 5 s`, `1 h 12 min`."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(nbytes: float) -> str:
    """`812 B`, `1.2 MB`, `3.4 GB` (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def percent(part: float, whole: float) -> str:
    """`43 %`, `0.6 %`, `<0.1 %`, `99.97 %`: 0 and 100 are said only of none and all. Empty if there is no whole."""
    if whole <= 0:
        return ""
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if 0 < share < 1:
        return f"{share:.1g} %"
    if 99 < share < 100:
        return f"{min(share, 99.99):.2f} %"
    return f"{share:.0f} %"


def rate(per_second: float) -> str:
    """`24,100 events/s`, `0.52 events/s`."""
    return f"{per_second:,.0f} events/s" if per_second >= 10 else f"{per_second:.2g} events/s"


def names(items: Iterable[str]) -> str:
    """Names with a comma between; those that only count are drawn together: `gain, charge0 ... charge7`."""
    runs: list[list[str]] = []
    for item in items:
        if runs and _follows(runs[-1][-1], item):
            runs[-1].append(item)
        else:
            runs.append([item])
    shown = [[f"{run[0]} ... {run[-1]}"] if len(run) > 2 else run for run in runs]
    return ", ".join(name for run in shown for name in run)


def _follows(before: str, name: str) -> bool:
    """Whether a name is the one before with the next number at its end."""
    first, second = (re.fullmatch(r"(.*?)(\d*)", item) for item in (before, name))
    if first is None or second is None or not first[2] or not second[2]:
        return False
    return first[1] == second[1] and int(second[2]) == int(first[2]) + 1
