"""The core: event data, configuration, schedule, engine, plug-ins and the command line.

Everything that a workflow or a module author needs is importable from here; the rest is private. Names are loaded when first
used, so that `evproc --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ == "framework":
    raise ImportError("import this package as evproc.framework, not as framework")

if TYPE_CHECKING:
    from .aliases import Alias
    from .columns import Column, Flat, Jagged, Nested
    from .conditions import Condition, ConditionsProducer, ConditionTag
    from .config import Block, Input, InputTag, Parameter
    from .errors import (
        ConditionsError,
        ConfigurationError,
        EvprocError,
        Fault,
        InferenceError,
        InputError,
        ModuleError,
        OutputError,
        ProductNotFound,
    )
    from .event import Collection, Columns, Event, EventID, EventIDs
    from .exception_policy import ExceptionPolicy, ExceptionRules
    from .functions import analyzer, filter_by, producer
    from .intervals import Interval
    from .modifiers import Modifier
    from .module import (
        Analyzer,
        Catalog,
        Chunk,
        ExternalFilter,
        ExternalProducer,
        ExternalWork,
        Filter,
        Module,
        OutputModule,
        Producer,
        Source,
    )
    from .observing import Observer
    from .paths import ConditionalTask, EndPath, FinalPath, Path, Sequence, Task, ignored, inverted
    from .process import Process
    from .report import Progress, Report
    from .service import Job, Service
    from .switch import SwitchProducer
    from .transitions import LumiID

_HOME = {
    "aliases": ("Alias",),
    "columns": ("Column", "Flat", "Jagged", "Nested"),
    "conditions": ("Condition", "ConditionTag", "ConditionsProducer"),
    "config": ("Block", "Input", "InputTag", "Parameter"),
    "errors": (
        "ConditionsError",
        "ConfigurationError",
        "EvprocError",
        "Fault",
        "InferenceError",
        "InputError",
        "ModuleError",
        "OutputError",
        "ProductNotFound",
    ),
    "event": ("Collection", "Columns", "Event", "EventID", "EventIDs"),
    "exception_policy": ("ExceptionPolicy", "ExceptionRules"),
    "functions": ("analyzer", "filter_by", "producer"),
    "modifiers": ("Modifier",),
    "intervals": ("Interval",),
    "module": (
        "Analyzer",
        "Catalog",
        "Chunk",
        "ExternalFilter",
        "ExternalProducer",
        "ExternalWork",
        "Filter",
        "Module",
        "OutputModule",
        "Producer",
        "Source",
    ),
    "observing": ("Observer",),
    "paths": ("ConditionalTask", "EndPath", "FinalPath", "Path", "Sequence", "Task", "ignored", "inverted"),
    "process": ("Process",),
    "report": ("Progress", "Report"),
    "switch": ("SwitchProducer",),
    "service": ("Job", "Service"),
    "transitions": ("LumiID",),
}
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "Alias",
    "Analyzer",
    "Block",
    "Catalog",
    "Chunk",
    "Collection",
    "Column",
    "Columns",
    "Condition",
    "ConditionTag",
    "ConditionalTask",
    "ConditionsError",
    "ConditionsProducer",
    "ConfigurationError",
    "EndPath",
    "Event",
    "EventID",
    "EventIDs",
    "EvprocError",
    "ExceptionPolicy",
    "ExceptionRules",
    "ExternalFilter",
    "ExternalProducer",
    "ExternalWork",
    "Fault",
    "Filter",
    "FinalPath",
    "Flat",
    "InferenceError",
    "Input",
    "InputError",
    "InputTag",
    "Interval",
    "Jagged",
    "Job",
    "LumiID",
    "Modifier",
    "Module",
    "ModuleError",
    "Nested",
    "Observer",
    "OutputError",
    "OutputModule",
    "Parameter",
    "Path",
    "Process",
    "Producer",
    "ProductNotFound",
    "Progress",
    "Report",
    "Sequence",
    "Service",
    "Source",
    "SwitchProducer",
    "Task",
    "analyzer",
    "filter_by",
    "ignored",
    "inverted",
    "producer",
]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.framework' has no attribute '{name}'") from None
    value = getattr(importlib.import_module(f"evproc.framework.{home}"), name)
    globals()[name] = value
    return value
