"""Times, sizes and rates as people write them: `330 s`, `10ms`, `507 MB`, `2 Gbit/s`; and back.

A number alone is in seconds, bytes, or bits per second. Prefixes are powers of ten; `KiB`, `MiB` and `GiB` of two.
"""

from __future__ import annotations

import math
import re

TIMES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
SIZES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30} | {
    f"{prefix}bit": factor / 8 for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))
}
RATES = {
    f"{prefix}{unit}/s": factor
    for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))
    for unit in ("bit", "b")
} | {f"{prefix}B/s": 8 * factor for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z/]*)\s*")


def parse(value: object, units: dict[str, float]) -> object:
    """A number of SI units of a quantity that is written as text; anything but a text is returned as it is.

    Raises ValueError with the units that there are.
    """
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise ValueError(f"'{value}' is no number with a unit; units are {', '.join(units)}")
    number, unit = match.groups()
    if unit and unit not in units:
        raise ValueError(f"'{value}': unknown unit '{unit}'; units are {', '.join(units)}")
    return float(number) * (units[unit] if unit else 1.0)


def numbers(text: str) -> list[int]:
    """The whole numbers of `1,2,4` or `1-5,10`; in order, each once. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise ValueError(f"'{text}' is no list of whole numbers, as 1,2,4 or 1-5,10")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 100_000:
            raise ValueError(f"'{part.strip()}' is no range of whole numbers")
        found.update(range(first, last + 1))
    return sorted(found)


def seconds(value: float) -> str:
    """`40 us`, `4.2 ms`, `8.31 s`, `122 s`."""
    return _shown(value, (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)))


def bit_rate(value: float) -> str:
    """`812 bit/s`, `2.29 Gbit/s`."""
    return _shown(value, (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)))


def nbytes(value: float) -> str:
    """`812 B`, `507 MB`."""
    return _shown(value, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)))


def _shown(value: float, units: tuple[tuple[str, float], ...]) -> str:
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return f"0 {units[-1][0]}"
    unit, factor = next(((unit, factor) for unit, factor in units if value >= 0.9995 * factor), units[-1])
    number = value / factor
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
