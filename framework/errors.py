"""Every error that evproc raises, arranged by whose fault it is.

    EvprocError                         exit code
    ├── ConfigurationError        2     the workflow is wrong: all its faults together, before the first event
    ├── PluginError               2     an installed plug-in cannot be loaded
    ├── InputError                3     a file, tree or branch cannot be read
    │   └── ConditionsError       3     ... or a condition, or there is none for an event
    ├── OutputError               4     an output cannot be written
    ├── ModuleError               5     a module failed on an event: carries event, path and module label
    │   └── ProductNotFound       5     ... because it read a product that this event does not have
    ├── InferenceError            6     a request for inference failed
    │   ├── ServerUnavailable     6     ... no server could be reached, or it died
    │   │   └── ServerBusy        6     ... or it has too much to do, and says so
    │   ├── DeadlineExceeded      6     ... no answer in time
    │   ├── RequestRejected       6     ... the server refused the request
    │   ├── EventSkipped          6     ... and the client was told to skip its events then
    │   └── ModelContractError    6     ... the model is not what the producer says it is
    └── InternalError            70     a bug in evproc

An interrupted job (Ctrl-C) ends with exit code 130; one that went on behind failed events, as its `ExceptionPolicy` wants,
with 7.

Each message says what was wrong, where, and what was near.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class EvprocError(Exception):
    """The base of all errors of evproc."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a configuration: what, and where."""

    message: str
    """What is wrong, and what was near."""
    label: str = ""
    """The module, path or service concerned; empty when it is the process itself."""
    key: str = ""
    """The parameter concerned, if one is."""
    where: str = ""
    """File and line of the workflow, if known."""

    def __str__(self) -> str:
        place = ".".join(part for part in (self.label, self.key) if part)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}  [{self.where}]" if self.where else text


class ConfigurationError(EvprocError):
    """The workflow is wrong. Carries all the faults that were found."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{count} in the configuration:\n{lines}")

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the faults; where in evproc they were found helps nobody."""
        return [f"{type(self).__name__}: {self}"]


class PluginError(EvprocError):
    """A plug-in cannot be loaded: the message names package, entry point and fault."""

    exit_code = 2


class InputError(EvprocError):
    """A file, a tree or a branch cannot be read."""

    exit_code = 3


class ConditionsError(InputError):
    """A condition is not there for an event, or cannot be loaded."""


class OutputError(EvprocError):
    """An output cannot be written."""

    exit_code = 4


class ModuleError(EvprocError):
    """A module failed. The cause is chained; the message says event, path and module."""

    exit_code = 5


class ProductNotFound(ModuleError):
    """A module read a product that this event does not have."""


class InferenceError(EvprocError):
    """A request for inference failed."""

    exit_code = 6


class ServerUnavailable(InferenceError):
    """No server could be reached, or it went away during a request."""


class ServerBusy(ServerUnavailable):
    """A server refused a request because it has too much to do: it is not dead, and the same request may succeed later."""


class DeadlineExceeded(InferenceError):
    """A server did not answer in time."""


class RequestRejected(InferenceError):
    """The server refused the request; sending it again would not help."""


class EventSkipped(InferenceError):
    """A request failed for good, and its events are to be skipped: an `ExceptionPolicy` says what becomes of them."""


class ModelContractError(InferenceError):
    """The model, or an answer of it, is not what the producer says it is."""


class InternalError(EvprocError):
    """Something that cannot happen did: a bug in evproc, please report it."""

    exit_code = 70


def in_context(error: BaseException, where: str) -> EvprocError:
    """The error with words before it that say where it happened: of its own class if it is one of ours, else a ModuleError."""
    if not isinstance(error, EvprocError):
        wrapped: EvprocError = ModuleError(f"{where}: {type(error).__name__}: {error}")
    else:
        wrapped = type(error).__new__(type(error))
        wrapped.__dict__.update(error.__dict__)
        Exception.__init__(wrapped, f"{where}: {error}")
    wrapped.__cause__ = error
    return wrapped


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that look most like `name`, best first."""
    choices = sorted(set(known))
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), list(folded), n=limit, cutoff=0.6)
    return [folded[choice] for choice in close]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known names; empty if none is near.

    >>> did_you_mean("Jet_pT", ["Jet_pt", "MET_pt"])
    "; did you mean 'Jet_pt'?"
    """
    close = nearest(name, known)
    if not close:
        return ""
    quoted = [f"'{choice}'" for choice in close]
    return f"; did you mean {' or '.join([', '.join(quoted[:-1]), quoted[-1]]) if quoted[1:] else quoted[0]}?"
