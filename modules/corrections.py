"""Corrections in the form of correctionlib: a conditions producer that loads their files, and a producer that applies one.

`CorrectionSets` says for which runs, luminosity blocks or times each file is valid; modules read the
`correctionlib.CorrectionSet` of an event as a condition. A call of correctionlib costs microseconds, whether for one number
or for an array, so `CorrectionProducer` gives it all objects of a block at once.

correctionlib comes with the extra `corrections`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework import (
    Block,
    Columns,
    ConditionsError,
    ConditionsProducer,
    ConditionTag,
    Fault,
    InputTag,
    Interval,
    Module,
    Parameter,
    Producer,
)
from evproc.framework.columns import Column, Flat, Jagged
from evproc.framework.errors import did_you_mean

if TYPE_CHECKING:
    from correctionlib import CorrectionSet

Number = npt.NDArray[np.float64] | npt.NDArray[np.int64]


class CorrectionFile(Block):
    """A file of corrections, and what it is valid for; for all events if nothing is said."""

    file: str = Parameter(description="file in schema 2 of correctionlib, .json or .json.gz", min_length=1)
    runs: tuple[int, int | None] | None = Parameter(
        None, description="first and last run, both included; none for the last: until the next file"
    )
    lumis: tuple[tuple[int, int], tuple[int, int] | None] | None = Parameter(
        None, description="first and last (run, luminosity block), both included"
    )
    times: tuple[float | datetime, float | datetime | None] | None = Parameter(
        None, description="begin, and end that is not included; seconds since 1970, or dates (UTC)"
    )

    def intervals(self) -> list[Interval]:
        """What it is valid for: one interval; more or fewer are a fault."""
        found = []
        if self.runs:
            found.append(Interval.runs(*self.runs, payload=self.file))
        if self.lumis:
            found.append(Interval.lumis(*self.lumis, payload=self.file))
        if self.times:
            begin, end = self.times
            found.append(Interval.times(_seconds(begin), None if end is None else _seconds(end), self.file))
        return found or [Interval.always(self.file)]


class CorrectionSets(ConditionsProducer):
    """Corrections of correctionlib, from a file for each interval of runs, luminosity blocks or time."""

    class Config(ConditionsProducer.Config):
        """The files."""

        files: str | list[CorrectionFile] = Parameter(
            description="a file for all events, or files with what they are valid for", min_length=1
        )

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        #: the file that was opened to hold the modules against it, and what is in it
        self._opened: tuple[str, CorrectionSet] | None = None

    @property
    def _files(self) -> list[CorrectionFile]:
        files = self.config.files
        return [CorrectionFile(file=files)] if isinstance(files, str) else files

    def intervals(self) -> Iterable[Interval]:
        """What each file is valid for."""
        return [interval for file in self._files for interval in file.intervals()]

    def auxiliary_files(self) -> list[str]:
        """The files, if a module reads them."""
        return [file.file for file in self._files] if self.table is not None else []

    def load(self, interval: Interval) -> CorrectionSet:
        """Read a file. Raises ConditionsError."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == interval.payload:
            return opened[1]
        return open_corrections(interval.payload)

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """All files are there; the first one has what the modules ask of it."""
        faults = await super().check(modules)
        if self.table is None:
            return faults
        try:
            import correctionlib  # noqa: F401
        except ImportError:
            return [*faults, Fault("needs correctionlib: pip install 'evproc[corrections]'")]
        faults += [Fault(text, key="files") for file in self._files for text in _file_faults(file)]
        if faults:
            return faults
        first = str(self.table.intervals[0].payload)
        try:
            corrections = await asyncio.to_thread(open_corrections, first)
        except ConditionsError as error:
            return [Fault(str(error), key="files")]
        self._opened = (first, corrections)
        for label, module in modules.items():
            if isinstance(module, CorrectionProducer) and module.config.corrections == self.label:
                wrong = module.differences(corrections)
                faults += [Fault(f"{text} ('{first}')", label, key, module.where) for key, text in wrong]
        return faults


class CorrectionProducer(Producer):
    """A correction, evaluated for each object of an event, or for the event: float64.

    Its product has a value per object if any of the inputs has, else one per event; a number per event is used for all
    objects.
    """

    class Config(Producer.Config):
        """Which correction, and of what."""

        corrections: ConditionTag = Parameter(description="label of the conditions that hold the correction")
        correction: str = Parameter(description="name of the correction, or compound correction", min_length=1)
        inputs: dict[str, str] = Parameter(description="input of the correction -> product", min_length=1)
        constants: dict[str, str | int | float] = Parameter(
            default_factory=dict, description="input of the correction -> value, as `systematic` -> `nominal`"
        )
        scales: InputTag | None = Parameter(
            None, description="product that the correction multiplies; none gives the correction itself"
        )

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The products of `inputs`, and the one that is scaled."""
        return {**super().inputs(), **dict.fromkeys(self.config.inputs.values(), ())}

    def differences(self, corrections: CorrectionSet) -> list[tuple[str, str]]:
        """How the parameters do not fit a file: (parameter, what is wrong)."""
        try:
            correction = find_correction(corrections, self.config.correction)
        except ConditionsError as error:
            return [("correction", str(error))]
        wanted = [one.name for one in correction.inputs]
        found = []
        for key in ("inputs", "constants"):
            for name in getattr(self.config, key):
                if name not in wanted:
                    near = did_you_mean(name, wanted) or f"; it has {', '.join(wanted)}"
                    found.append((key, f"correction '{correction.name}' has no input '{name}'{near}"))
                elif key == "constants" and name in self.config.inputs:
                    found.append((key, f"the input '{name}' is given twice, by a product and as a constant"))
        missing = [name for name in wanted if name not in {**self.config.inputs, **self.config.constants}]
        if missing:
            found.append(("inputs", f"correction '{correction.name}' needs {', '.join(missing)} too"))
        return found

    def produce_columns(self, columns: Columns) -> Any:
        """The correction of a block: one value per object, or per event."""
        correction = find_correction(columns.conditions[self.config.corrections], self.config.correction)
        read = {name: columns.column(product) for name, product in self.config.inputs.items()}
        scaled = columns.column(self.config.scales) if self.config.scales else None
        named = {self.config.inputs[name]: column for name, column in read.items()}
        if scaled is not None:
            named[str(self.config.scales)] = scaled
        offsets = common_offsets(named)
        arguments: list[Any] = []
        for variable in correction.inputs:
            if variable.name in read:
                arguments.append(_argument(rows_of(read[variable.name], offsets), variable))
            elif variable.name in self.config.constants:
                arguments.append(self.config.constants[variable.name])
            else:
                raise ConditionsError(f"correction '{correction.name}' needs '{variable.name}' too")
        values = np.asarray(correction.evaluate(*arguments), np.float64)
        if scaled is not None:
            values = values * rows_of(scaled, offsets)
        return values if offsets is None else Jagged(offsets, values).array()


def open_corrections(file: str) -> CorrectionSet:
    """The corrections of a file. Raises ConditionsError if it is none."""
    from correctionlib import CorrectionSet

    if not file.endswith((".json", ".json.gz")):
        raise ConditionsError(f"'{file}' is no file of corrections: its name must end in .json or .json.gz")
    try:
        return CorrectionSet.from_file(file)
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ConditionsError(f"'{file}' is no file of corrections: {why}") from error


def find_correction(corrections: CorrectionSet, name: str) -> Any:
    """A correction or a compound one, by name. Raises ConditionsError with the nearest name."""
    for table in (corrections, corrections.compound):
        if name in list(table):  # its own look-up raises another error than a mapping should
            return table[name]
    known = [*corrections, *corrections.compound]
    near = did_you_mean(name, known) or f"; there are {', '.join(known)}"
    raise ConditionsError(f"there is no correction '{name}'{near}")


def common_offsets(columns: Mapping[str, Column]) -> npt.NDArray[np.int64] | None:
    """The offsets of several columns, (events + 1,) from 0 on; None if all have one number per event.

    Raises ValueError if they belong to different objects, TypeError if one holds no numbers.
    """
    found: tuple[str, npt.NDArray[np.int64]] | None = None
    for name, column in columns.items():
        values = column.values if isinstance(column, Flat) else column.content if isinstance(column, Jagged) else None
        if values is None or values.ndim != 1 or values.dtype.kind not in "biuf":
            raise TypeError(f"'{name}' is neither a number nor a list of numbers per event")
        if isinstance(column, Jagged):
            offsets = column.compact().offsets
            if found is not None and not np.array_equal(found[1], offsets):
                raise ValueError(f"'{found[0]}' and '{name}' belong to different objects")
            found = found or (name, offsets)
    return found[1] if found else None


def rows_of(column: Column, offsets: npt.NDArray[np.int64] | None) -> npt.NDArray[Any]:
    """The values of a column, (rows,): one per object; those of an event are repeated for its objects."""
    if isinstance(column, Jagged):
        return column.compact().content
    assert isinstance(column, Flat)
    return column.values if offsets is None else np.repeat(column.values, np.diff(offsets))


def _argument(values: npt.NDArray[Any], variable: Any) -> Number:
    """Values in the type of an input of a correction. Raises TypeError where that would change them."""
    if variable.type == "real":
        return values.astype(np.float64)
    if variable.type != "int":
        raise TypeError(f"the input '{variable.name}' is text: give it as a constant")
    if values.dtype.kind == "f":
        raise TypeError(f"the input '{variable.name}' is an integer, and its product is not")
    return values.astype(np.int64)


def _seconds(time: float | datetime) -> float:
    if not isinstance(time, datetime):
        return time
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _file_faults(file: CorrectionFile) -> list[str]:
    """What is wrong with the name of a file, and with what it is valid for."""
    wrong, path = [], Path(file.file)
    if len(file.intervals()) > 1:
        wrong.append(f"'{path}' is given several of runs, lumis and times")
    if not path.parent.is_dir():
        wrong.append(f"there is no file '{path}': the folder '{path.parent}' does not exist")
    elif not path.is_file():
        near = did_you_mean(path.name, [item.name for item in path.parent.iterdir()])
        wrong.append(f"there is no file '{path}'{near}")
    return wrong
