"""What happens when a module fails on an event: the job ends, the event is given up in part, or the failure is passed over.

The problem. One event in ten million without jets must not cost a night of work; but a job that goes on whatever happens
hides that its results are wrong. So the default is to end the job, and every exception to that is written down in the
workflow, for a category of errors and perhaps for one module.

The policy. Three actions, with the meaning that they have in CMSSW:

    rethrow            the job ends
    try_to_continue    what reads the module's products, directly or not, does not run for this event; what does not goes
                       on; paths that hold the module end there; the event goes to the file of failed events
    ignore             the event goes on as if the module had run: a filter lets it pass, a product is just not there

A *category* is the name of an exception class, evproc's own or any other; it stands for its subclasses too. Of those that
fit an error, the one nearest to its class decides; what is said of a module goes before what is said of all. Every error of a
module that is not evproc's own is also a `ModuleError`.

What it is not for. Reading the input, writing an output, and the begin and end of anything always end the job. So does an
`InternalError`, which is a bug in evproc.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from .config import Block, Parameter
from .errors import EvprocError, Fault, InternalError, ModuleError, did_you_mean
from .flow import kind_of
from .service import Service

if TYPE_CHECKING:
    from .module import Module


class Action(Enum):
    """What happens when a module fails on an event."""

    RETHROW = "rethrow"
    TRY_TO_CONTINUE = "try_to_continue"
    IGNORE = "ignore"


class ExceptionRules(Block):
    """What happens with each category of errors. A category is the name of an exception class, subclasses included."""

    rethrow: list[str] = Parameter(
        default_factory=list, description="categories that end the job, as all do that no list names"
    )
    try_to_continue: list[str] = Parameter(
        default_factory=list, description="categories for which only what depends on the failed module does not run"
    )
    ignore: list[str] = Parameter(
        default_factory=list, description="categories for which the event goes on as if the module had not failed"
    )

    def table(self) -> dict[str, Action]:
        """Category -> what happens."""
        return {category: action for action in Action for category in getattr(self, action.value)}

    def problems(self) -> Iterator[tuple[str, str]]:
        """(list, what is wrong with it)."""
        seen: dict[str, str] = {}
        known = exception_names()
        for action in Action:
            for category in getattr(self, action.value):
                if category in seen:
                    yield action.value, f"category '{category}' is named in {seen[category]} already"
                seen[category] = action.value
                if category == InternalError.__name__:
                    yield action.value, "an InternalError is a bug in evproc, and always ends the job"
                elif category not in known:
                    yield action.value, f"no exception class is named '{category}'{did_you_mean(category, known)}"


class ExceptionPolicy(Service):
    """What happens when a module fails on an event, by category and by module; and where failed events go."""

    class Config(ExceptionRules):
        """The rules for all modules, those for some, and the file of failed events."""

        modules: dict[str, ExceptionRules] = Parameter(
            default_factory=dict, description="label -> rules that go before those for all modules"
        )
        call_anyway: list[str] = Parameter(
            default_factory=list,
            description="modules that run though something that they read has failed; an error of theirs that is to be "
            "continued after is passed over",
        )
        failed_events: str = Parameter(
            "failed_events.jsonl",
            description="file for the events that failed, which `evproc run --only` takes; none if empty",
            placement=True,
        )
        max_failed: int | None = Parameter(
            None, description="the job ends when more events than this have failed", placement=True, ge=0
        )

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Categories and modules that there are not, and outputs, whose errors always end the job."""
        faults = [Fault(text, self.label, key, self.where) for key, text in self.config.problems()]
        for label, rules in self.config.modules.items():
            faults += [Fault(text, self.label, f"modules.{label}.{key}", self.where) for key, text in rules.problems()]
            module = modules.get(label)
            if module is None:
                faults.append(self._no_module(label, f"modules.{label}", modules))
            elif kind_of(module) == "output" and (rules.try_to_continue or rules.ignore):
                why = f"'{label}' is an output module; an error of it always ends the job"
                faults.append(Fault(why, self.label, f"modules.{label}", self.where))
        faults += [
            self._no_module(name, "call_anyway", modules) for name in self.config.call_anyway if name not in modules
        ]
        folder = self.path.absolute().parent
        if self.config.failed_events and not folder.is_dir():
            faults.append(Fault(f"there is no folder '{folder}'", self.label, "failed_events", self.where))
        return faults

    def written_files(self) -> list[str]:
        """The file of failed events."""
        return [self.config.failed_events] if self.config.failed_events else []

    def _no_module(self, name: str, key: str, modules: Mapping[str, Module]) -> Fault:
        return Fault(f"no module '{name}' runs{did_you_mean(name, modules)}", self.label, key, self.where)

    @property
    def path(self) -> Path:
        """The file for failed events."""
        return Path(self.config.failed_events).expanduser()

    def rules(self) -> Rules:
        """The rules, ready to be asked."""
        config = self.config
        modules = {label: rules.table() for label, rules in config.modules.items()}
        return Rules(config.table(), modules)


class Rules:
    """Looks up what happens with an error."""

    def __init__(self, general: Mapping[str, Action], modules: Mapping[str, Mapping[str, Action]]) -> None:
        self._general = general
        self._modules = modules

    def tolerant(self, label: str) -> bool:
        """Whether any error of a module does not end the job."""
        actions = [*self._general.values(), *self._modules.get(label, {}).values()]
        return any(action is not Action.RETHROW for action in actions)

    def action(self, label: str, error: BaseException) -> Action:
        """What happens with an error of a module."""
        if isinstance(error, InternalError) or not isinstance(error, Exception):
            return Action.RETHROW
        names = categories(error)
        for table in (self._modules.get(label, {}), self._general):
            for name in names:
                if name in table:
                    return table[name]
        return Action.RETHROW


def categories(error: Exception) -> list[str]:
    """The categories of an error, the nearest to its class first."""
    classes = list(type(error).__mro__)
    if not isinstance(error, EvprocError):
        place = classes.index(Exception)
        classes[place:place] = ModuleError.__mro__[: ModuleError.__mro__.index(Exception)]
    return [kind.__name__ for kind in classes if issubclass(kind, Exception)]


def exception_names() -> set[str]:
    """The names of all exception classes that there are at present."""
    seen: set[type[Exception]] = set()
    pending: list[type[Exception]] = [Exception]
    while pending:
        kind = pending.pop()
        if kind not in seen:
            seen.add(kind)
            pending.extend(kind.__subclasses__())
    return {kind.__name__ for kind in seen}
