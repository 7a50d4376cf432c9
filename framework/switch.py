"""`SwitchProducer`: one label, several cases; consumers see one label.

    process.energy = SwitchProducer(
        local=FacileProducer(client=Client(model="facile", server="cpu")),
        remote=FacileProducer(client=Client(model="facile_large")),
        case="local",
    )

The case is chosen by name, by a function of the process that returns a name, by a modifier
(`remote.modify(process.energy, case="remote")`) or on the command line (`-o energy.case=remote`). Parameters of a case are
`energy.remote.client.timeout`. The case that is chosen is the module of that label: nothing else of a job knows of the
switch. All cases must make the same products, and the faults of all are found. A dumped configuration keeps all cases; the
hash of the configuration, as the results, depends only on the one that is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from .config import Block, Parameter
from .configured import because
from .errors import Fault, did_you_mean
from .flow import kind_of
from .modifiers import apply_pending
from .module import Module, products_of

if TYPE_CHECKING:
    from .process import Process

CASE = "case"


class SwitchProducer(Module):
    """A producer that is one of several cases."""

    class Config(Block):
        """Which case it is."""

        case: str = Parameter(description="the case that is chosen")

    def __init__(self, case: str | Callable[[Process], str] = "", /, **cases: Any) -> None:
        chosen: Any = cases.pop(CASE, case)
        self.cases: dict[str, Module] = cases
        wrong = {name: type(part).__name__ for name, part in cases.items() if not isinstance(part, Module)}
        if wrong or not cases:
            said = ", ".join(f"{name} is of type {kind}" for name, kind in wrong.items()) or "there is none"
            raise TypeError(f"the cases of a SwitchProducer are producers: {said}")
        for name, part in cases.items():
            if part.label:
                raise ValueError(f"case '{name}' has the label '{part.label}' already; use a clone")
        function: Any = chosen if callable(chosen) else None
        self._function: Callable[[Process], str] | None = function
        self._wrong_function = ""
        super().__init__(case=next(iter(cases)) if callable(chosen) or not chosen else chosen)

    @property
    def chosen(self) -> Module:
        """The case that is chosen; the first if there is no such case, which is a fault."""
        return self.cases.get(self._parameters[CASE]) or next(iter(self.cases.values()))

    def join(self, process: Process) -> None:
        """Choose, for a process that the switch is put into."""
        for part in self.cases.values():
            part.label, part._owner = self.label, self._owner
            apply_pending(process, part)
        if self._function is not None:
            self._ask(self._function, process)
        process.modules[self.label] = self.chosen

    def _ask(self, function: Callable[[Process], str], process: Process) -> None:
        name = getattr(function, "__name__", repr(function))
        self._function = None
        try:
            with because(f"function {name}"):
                super().set(case=function(process))
        except Exception as error:
            self._wrong_function = f"function {name}, which chooses the case, failed: {type(error).__name__}: {error}"

    def set(self, **parameters: Any) -> None:
        """Set `case`, or parameters of a case: `remote={"timeout": 5}` or `{"remote.timeout": 5}`."""
        self._check_changeable()
        for key, value in parameters.items():
            name, _, rest = key.partition(".")
            if name in self.cases and (rest or isinstance(value, Mapping)):
                self.cases[name].set(**({rest: value} if rest else value))
            else:
                super().set(**{key: value})
        owner = self._owner()
        if owner is not None:
            self._wrong_function = ""
            owner.modules[self.label] = self.chosen

    def clone(self, **changes: Any) -> Self:
        """Another switch, with clones of the cases."""
        made = type(self)(self._parameters[CASE], **{name: part.clone() for name, part in self.cases.items()})
        made._origins, made._function = dict(self._origins), self._function
        made.set(**changes)
        return made

    def faults(self) -> list[Fault]:
        """What is wrong with the choice, and with the cases that are not chosen; that one is a module of the process."""
        case = self._parameters[CASE]
        found = []
        for fault in super().faults():
            inner = (f"{name}.{key}" for name, part in self.cases.items() for key in part.Config.model_fields)
            known = [CASE, *self.cases, *inner]
            unknown = fault.message.startswith("unknown parameter")
            hint = f"; those of a case are named {self.label}.{next(iter(self.cases))}.{fault.key}"
            near = did_you_mean(fault.key, known) or hint
            message = f"unknown parameter '{fault.key}'{near}" if unknown else fault.message
            found.append(Fault(message, fault.label, fault.key, fault.where))
        if self._wrong_function:
            found.append(Fault(self._wrong_function, self.label, where=self.where))
        elif isinstance(case, str) and case not in self.cases:
            near = did_you_mean(case, self.cases) or f"; there are {', '.join(self.cases)}"
            found.append(
                Fault(f"there is no case '{case}'{near}", self.label, CASE, self.origin_of(CASE) or self.where)
            )
        for name, part in self.cases.items():
            if part is not self.chosen:
                found.extend(
                    Fault(fault.message, f"{self.label}.{name}", fault.key, fault.where) for fault in part.faults()
                )
        return found + self._disagreements()

    def _disagreements(self) -> list[Fault]:
        """Cases that are no producers, or make other products than the first."""
        found = []
        (first, model), *others = self.cases.items()
        made = products_of(model)
        for name, part in self.cases.items():
            if kind_of(part) != "producer":
                kind = kind_of(part) or "module"
                wrong = f"case '{name}' is a {kind} ({type(part).__name__}), and only producers can be cases"
                found.append(Fault(wrong, self.label, where=self.where))
        if found:
            return found
        for name, part in others:
            other = products_of(part)
            differ = [
                key
                for key in {**made, **other}
                if key not in made or key not in other or (made[key] and other[key] and made[key] != other[key])
            ]
            if differ:
                pairs = [(key, _said(made.get(key)), _said(other.get(key))) for key in differ]
                said = "; ".join(f"{key}: {mine} of '{first}', {its} of '{name}'" for key, mine, its in pairs)
                wrong = f"all cases must make the same products, but '{first}' and '{name}' do not: {said}"
                found.append(Fault(wrong, self.label, where=self.where))
        return found


def chosen_cases(process: Process) -> dict[str, str]:
    """What outputs say of switches: `cases` -> `energy=remote, ...`; nothing without switches."""
    said = ", ".join(f"{label}={switch.config.case}" for label, switch in process.switches.items())
    return {"cases": said} if said else {}


def _said(kind: str | None) -> str:
    return "no product" if kind is None else kind or "a product"
