"""The options of a scan that are lists."""

from __future__ import annotations

from typing import Any

from evproc.framework.errors import Fault, did_you_mean
from evproc.sonic_client.planning import units


class Lists:
    """Reads options that are lists; gathers what is wrong."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def wrong(self, text: str, option: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(text, where=option))

    def numbers(self, text: str, option: str) -> list[int]:
        """Whole numbers from 1."""
        try:
            found = units.numbers(text)
        except ValueError as error:
            self.wrong(str(error), option)
            return [1]
        if found[0] < 1:
            self.wrong("numbers begin at 1", option)
        return found

    def optional(self, text: str, option: str) -> list[int | None]:
        """The same; nothing means what the workflow says."""
        return [*self.numbers(text, option)] if text else [None]

    def times(self, text: str, option: str) -> list[float]:
        """Times, s."""
        found = []
        for part in text.split(","):
            try:
                value: Any = units.parse(part, units.TIMES)
            except ValueError as error:
                self.wrong(str(error), option)
                continue
            if value < 0:
                self.wrong(f"{part.strip()} is before now", option)
            found.append(float(value))
        return sorted(set(found)) or [0.0]

    def one_of(self, value: str, known: list[str], option: str) -> None:
        """One of some words."""
        if value not in known:
            self.wrong(f"'{value}' is none of {', '.join(known)}{did_you_mean(value, known)}", option)
