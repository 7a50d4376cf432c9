"""Functions as modules, with limits on how many of their calls run at once."""

from __future__ import annotations

from typing import Any

import pytest

from evproc.framework import ConfigurationError, Path, Process, producer
from evproc.framework.function_entries import entry_of
from evproc.framework.testing import EventSource, run_module


def test_limits_of_functions() -> None:
    """A function may say how many of its calls run at once, and what it shares with others; both are in a configuration."""
    process = Process("LIMITS", block=1)
    process.source = EventSource({"x": [1.0, 2.0, 3.0, 4.0]})
    at_work: list[float] = []
    most: list[int] = []

    def alone(x: float) -> float:
        at_work.append(x)
        most.append(len(at_work))
        at_work.remove(x)
        return 2.0 * x

    process.first = producer(alone, threaded=1, resources=("geant",))
    process.second = producer(alone, threaded=2, resources=["geant"])
    process.path = Path(process.first, process.second)
    assert [(part.threaded, part.resources) for part in (process.first, process.second)] == [
        (1, ("geant",)),
        (2, ("geant",)),
    ]
    process.run()
    assert most == [1] * 8
    entry = entry_of(type(process.second))
    assert entry == {"as": {"kind": "producer", "threaded": 2, "resources": ["geant"]}}


@pytest.mark.parametrize(
    ("limits", "wrong"), [({"threaded": -1}, "threaded is"), ({"resources": "ab"}, "a tuple of names")]
)
def test_wrong_limits_of_functions(limits: dict[str, Any], wrong: str) -> None:
    """What a limit cannot be is a fault before the first event."""
    with pytest.raises(ConfigurationError, match=wrong):
        run_module(producer(lambda x: x, **limits), {"x": [1.0]})
