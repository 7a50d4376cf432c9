"""Conditions: what holds for many events and not for all, such as calibrations: an event setup.

The problem. A calibration is valid for some runs. A module that looks it up itself does so for each event, loads it in the
middle of the work, and has two of them at hand when blocks of two runs are in flight.

The policy. A `ConditionsProducer` is a part of the process, a service. It says once for which intervals it has something
(`intervals`), and loads the product of one when asked (`load`, a coroutine or a function that is called in a thread).
Modules declare by label which conditions they read, so that a missing one is found before the first event, and read them
of the event: `event.conditions["jec"]`. No block spans two intervals of a condition that is read; what the next blocks need
is loaded while those before are at work, kept as long as a block needs it, and dropped after.

The cost. A block is cut where an interval ends. Intervals are looked up for a chunk at once; a read is two look-ups. Without
modules that read a condition, nothing is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from .columns import Flat
from .config import Block, Parameter, is_marked
from .errors import ConditionsError, Fault, ProductNotFound, did_you_mean
from .intervals import Interval, IntervalTable, lumi_keys
from .service import Service

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .flow import Flow
    from .module import Chunk, Module
    from .process import Process


T = TypeVar("T")


class ConditionMark:
    """Marks a field as the label of a condition that the module reads."""


ConditionTag: TypeAlias = Annotated[str, ConditionMark()]
"""The label of a conditions producer of the process."""
Condition: TypeAlias = Annotated[T, ConditionMark()]
"""What a conditions producer makes, as the parameter of a function that is a module: `jec: Condition[CorrectionSet]`."""


class ConditionsProducer(Service):
    """Makes a product that is valid for an interval of runs, luminosity blocks, or time."""

    class Config(Block):
        """What all conditions producers have."""

        time: str = Parameter(
            "", description="product of the source: the time of each event, seconds since 1970; for intervals of time"
        )
        kept: int = Parameter(
            1,
            description="products that are kept when no event in flight needs them, for events that come back",
            placement=True,
            ge=0,
        )

    table: IntervalTable | None = None
    """Its intervals, from `check` on."""
    loaded = 0
    """Products that were loaded in this job."""

    def intervals(self) -> Iterable[Interval] | Awaitable[Iterable[Interval]]:
        """All intervals for which there is something. Called once before the first event, in a thread; may be a coroutine."""
        raise NotImplementedError

    def load(self, interval: Interval) -> Any:
        """The product of an interval. Called in a thread of the job; may be a coroutine, which runs in the event loop."""
        raise NotImplementedError

    def release(self, product: Any) -> None:
        """A product is needed no more; called in the event loop."""

    def report(self) -> dict[str, Any]:
        """How many intervals there are, and how many products were loaded."""
        return {"intervals": len(self.table.intervals) if self.table else 0, "loaded": self.loaded}

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Ask for the intervals, if a module reads this condition. An author who overrides it calls it too."""
        self.table, self.loaded = None, 0
        readers = [label for label, module in modules.items() if self.label in conditions_of(module)]
        if not readers:
            unread = f"condition '{self.label}' ({type(self).__name__}) is not loaded: no module that runs reads it"
            self.warnings = list(dict.fromkeys([*self.warnings, unread]))
            return []
        if iscoroutinefunction(self.intervals):
            table = IntervalTable(await self.intervals())
        else:
            table = IntervalTable(await called(lambda: list(cast("Iterable[Interval]", self.intervals()))))
        if table.of_time and not self.config.time and not table.faults:
            table.faults.append(
                "its intervals are of time: set `time` to the product that holds the time of each event"
            )
        self.table = table
        return [Fault(text) for text in table.faults]

    def places(self, chunk: Chunk) -> npt.NDArray[np.int64]:
        """Number of the interval of each event of a chunk: (events,). Raises ConditionsError for times that are none."""
        assert self.table is not None
        return self.table.places(self._keys(chunk))

    def _keys(self, chunk: Chunk) -> npt.NDArray[Any]:
        assert self.table is not None
        if not self.table.of_time:
            return lumi_keys(chunk.ids)
        column = chunk.columns[self.config.time]
        if not isinstance(column, Flat) or column.values.ndim != 1 or column.values.dtype.kind not in "iufM":
            raise ConditionsError(f"condition '{self.label}': '{self.config.time}' is not one number per event, a time")
        if column.values.dtype.kind == "M":
            return column.values.astype("datetime64[ns]").astype(np.int64) / 1e9
        return column.values.astype(np.float64)

    def gap(self, chunk: Chunk, number: int) -> ConditionsError:
        """The error for an event of a chunk for which there is no interval."""
        assert self.table is not None
        key = self._keys(chunk)[number].item()
        time = f", at {key!r} s," if self.table.of_time else ""
        where = f" ({chunk.where})" if chunk.where else ""
        return ConditionsError(
            f"condition '{self.label}' ({type(self).__name__}) has no interval for {chunk.ids[number]}{time}{where}; "
            f"near it are: {self.table.around(key)}"
        )


class ModuleConditions(dict[str, Any]):
    """The conditions that one module may read in one block, by label."""

    def __init__(self, label: str, products: Mapping[str, Any]) -> None:
        super().__init__(products)
        self._label = label

    def __missing__(self, key: str) -> Any:
        near = did_you_mean(key, self) or f"; it declares {', '.join(self) or 'none'}"
        raise ProductNotFound(f"module '{self._label}' reads the condition '{key}', which it does not declare{near}")


class BlockConditions:
    """The conditions of a block."""

    __slots__ = ("_declared", "_of", "_products")

    def __init__(self, products: Mapping[str, Any], declared: Mapping[str, Sequence[str]]) -> None:
        self._products = products
        #: module -> conditions that it reads
        self._declared = declared
        self._of: dict[str, ModuleConditions] = {}

    def of(self, label: str) -> ModuleConditions:
        """What a module may read."""
        try:
            return self._of[label]
        except KeyError:
            mine = {name: self._products[name] for name in self._declared.get(label, ())}
            found = self._of[label] = ModuleConditions(label, mine)
            return found


NO_CONDITIONS = BlockConditions({}, {})
"""Of a block in which no module reads any."""


def conditions_of(module: Module) -> list[str]:
    """The conditions that a module reads: those of `conditions`, and of its `ConditionTag` parameters."""
    config = getattr(module, "config", None) if not module.faults() else None
    return list(dict.fromkeys([*module.conditions, *(_tags(config) if config is not None else ())]))


def _tags(config: BaseModel) -> list[str]:
    tags: list[str] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if is_marked(field, ConditionMark):
            tags += [value] if isinstance(value, str) else value or ()
        elif isinstance(value, BaseModel):
            tags += _tags(value)
    return tags


def condition_faults(process: Process, flow: Flow) -> list[Fault]:
    """Conditions that modules read and the process has not, and times that the source has not."""
    known = {label: part for label, part in process.services.items() if isinstance(part, ConditionsProducer)}
    faults = []
    for label, module in process.modules.items():
        for name in conditions_of(module):
            if name not in known:
                other = {**process.modules, **process.services}.get(name)
                near = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none'}"
                why = f": that is a {type(other).__name__}" if other is not None else f", which is not there{near}"
                faults.append(Fault(f"reads the condition '{name}'{why}", label, where=module.where))
    for label, part in known.items():
        for name in dict.fromkeys([*getattr(part, "conditions", ()), *(() if part.faults() else _tags(part.config))]):
            alone = "conditions cannot be made of others; have the module read both, or load both in one producer"
            faults.append(Fault(f"reads the condition '{name}': {alone}", label, where=part.where))
        time = "" if part.faults() else part.config.time
        if time and flow.source and flow.makers.get(time) != flow.source:
            near = did_you_mean(time, [key for key, maker in flow.makers.items() if maker == flow.source])
            wrong = f"the source has no product '{time}'{near}"
            faults.append(Fault(wrong, label, "time", part.where))
    return faults


async def called(function: Callable[..., Any], *arguments: Any, pool: Executor | None = None) -> Any:
    """What a coroutine function returns, or a function when called in a thread."""
    if iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
