"""The types that modules declare for their products."""

from __future__ import annotations

import pytest

from evproc.framework import ConfigurationError, EndPath, Event, Process, Producer
from evproc.framework.declared_types import wrong_type
from evproc.framework.testing import EventSource
from tests.framework.core_toys import Look

PLAIN = ("", "object", "bool", "float32", "var*float", "3 * int16", "var * var * uint8", "string", "var * string")
OTHERS = ("?float64", "var * ?int32", "{x: float32, y: var * int8}", "datetime64[ns]", "option[var * float32]")


@pytest.mark.parametrize("kind", [*PLAIN, *OTHERS])
def test_types(kind: str) -> None:
    """Whatever NumPy or awkward read is a type."""
    assert not wrong_type(kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("flot32", "'flot32' is no type; did you mean 'float32'"),
        ("var * flaot64", "'flaot64' is no type; did you mean 'float64'"),
        ("vra * float32", "'vra' is neither var nor a number"),
        ("vra * string", "'vra' is neither var nor a number"),
        ("var float32", "'var float32', which is no type"),
        ("Jets", "'Jets', which is no type"),
        ("{x: float32", "which is no type"),
    ],
)
def test_what_is_no_type(kind: str, words: str) -> None:
    """The wrong part is named, and what is near."""
    assert words in wrong_type(kind)


def test_a_wrong_type_is_a_fault_before_the_first_event() -> None:
    """With the product and the module, together with other faults."""

    class Two(Producer):
        consumes = ("y",)
        produces = {"a": "int64", "b": "itn64"}

        def produce(self, event: Event) -> dict[str, int]:
            raise AssertionError

    process = Process("P")
    process.source = EventSource({"x": [1, 2]})
    process.two = Two()
    process.look = Look(of=["two:a"])
    process.end = EndPath(process.two, process.look)
    with pytest.raises(ConfigurationError) as raised:
        process.run()
    messages = [fault.message for fault in raised.value.faults]
    assert any("its product 'two:b' is declared as 'itn64'" in message for message in messages), messages
    assert any("reads 'y'" in message for message in messages), messages


def test_a_parameter_is_not_assigned() -> None:
    """Who assigns to a parameter is told how it is set."""
    process = Process("P")
    process.look = Look(of=[])
    with pytest.raises(TypeError, match=r"say process\.set_options\(block=\.\.\.\)"):
        process.options.block = 5  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"say process\.LABEL\.set\(of=\.\.\.\)"):
        process.look.config.of = ["x"]
