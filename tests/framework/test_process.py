"""The process: labels, replacing and removing parts, options and overrides."""

from __future__ import annotations

import pytest

from evproc.framework import ConfigurationError, EndPath, Path, Process, Service, Task
from tests.framework.core_toys import Add, Divisible, Look, numbers


def test_an_attribute_becomes_the_label() -> None:
    """process.x = part names the part x, whatever its kind."""
    process = Process("P")
    process.source, process.add, process.path = numbers(3), Add(), Path("add")
    process.end, process.task, process.service = EndPath(), Task(), Service()
    parts = (process.source, process.add, process.path, process.end, process.task, process.service)
    assert [part.label for part in parts] == ["source", "add", "path", "end", "task", "service"]
    assert process.source_module is process.source
    assert repr(process) == "<Process 'P': 2 modules, 1 paths>"
    assert repr(process.path) == "Path(add)"


def test_a_path_names_its_modules_by_their_labels_of_the_end() -> None:
    """A path may be made before its modules have labels; strings work too."""
    process, add = Process("P"), Add()
    path = Path(add, "other")
    process.add = add
    assert path.labels() == ["add", "other"]


@pytest.mark.parametrize("label", ["name", "run", "options", "override", "modules", "_x"])
def test_a_label_that_the_process_uses_itself_is_refused(label: str) -> None:
    """A part cannot hide an attribute of the process."""
    with pytest.raises(AttributeError, match=rf"'{label}' is no label"):
        setattr(Process("P"), label, Add())


def test_what_is_no_part_is_refused() -> None:
    """Only modules, paths, tasks and services can be attributes."""
    with pytest.raises(TypeError, match=r"process.cut must be a module, a path, a task or a service, not float"):
        Process("P").cut = 3.0


def test_a_part_has_one_label() -> None:
    """The same module under two labels is an error; under its own again it is not."""
    process = Process("P")
    process.a = Add()
    process.a = process.a
    with pytest.raises(ValueError, match=r"process.b: this Add has the label 'a' already"):
        process.b = process.a


def test_a_part_can_be_replaced_by_one_of_another_kind() -> None:
    """Assigning again replaces the part wherever it was."""
    process = Process("P")
    process.x = Add()
    process.x = Path()
    assert process.modules == {}
    assert list(process.paths) == ["x"]


def test_a_part_that_is_not_there_is_named_with_the_nearest() -> None:
    """Reading or deleting what is not there is an AttributeError."""
    process = Process("P")
    process.energy = Add()
    with pytest.raises(AttributeError, match=r"process 'P' has no 'enrgy'; did you mean 'energy'"):
        _ = process.enrgy
    with pytest.raises(AttributeError, match=r"has no 'enrgy'"):
        del process.enrgy


def test_a_part_that_was_removed_can_have_another_label() -> None:
    """del process.a takes the label away, so that the part can be put elsewhere."""
    process = Process("P")
    process.a = module = Add()
    del process.a
    process.b = module
    assert (module.label, list(process.modules)) == ("b", ["b"])


def test_options_are_those_of_the_constructor_and_of_set_options() -> None:
    """Options have defaults, are typed, and a fault names key and line."""
    process = Process("P", streams=3)
    process.set_options(block="auto", in_flight=1)
    assert (process.options.streams, process.options.block, process.options.in_flight) == (3, "auto", 1.0)
    process.set_options(stream=3, threads=0)
    with pytest.raises(ConfigurationError) as caught:
        _ = process.options
    texts = sorted(str(fault) for fault in caught.value.faults)
    assert texts[0].startswith(
        "options.stream: unknown parameter 'stream'; did you mean 'streams' or 'threads'?  [test_process.py:"
    )
    assert texts[1].startswith("options.threads: input should be greater than or equal to 1, not 0  [test_process.py:")


def test_override_sets_a_parameter_by_its_dotted_name() -> None:
    """LABEL.KEY sets a module's or service's parameter, options.KEY an option; unknown parts are named."""
    process = Process("P")
    process.add, process.even = Add(), Divisible()
    process.override("even.by", 3)
    process.override("options.streams", 2)
    assert (process.even.config.by, process.options.streams) == (3, 2)
    with pytest.raises(
        ConfigurationError, match=r"cannot set 'evn.by': no module or service 'evn'; did you mean 'even'"
    ):
        process.override("evn.by", 3)
    with pytest.raises(ConfigurationError, match=r"a parameter is named LABEL.KEY"):
        process.override("even", 3)
    process.override("even.bye", 3)
    assert "did you mean 'by'" in str(process.even.faults()[0])


def test_a_process_runs_again_with_the_same_result() -> None:
    """run() leaves nothing behind that would change the next run."""
    process = Process("P", block=7)
    process.source, process.add, process.look = numbers(20), Add(plus=1), Look(of=["add"])
    process.end = EndPath(process.look)
    process.run()
    first = list(process.look.rows)
    process.look.rows.clear()
    report = process.run()
    assert process.look.rows == first == [(number, number + 1) for number in range(20)]
    assert (report.events, report.blocks, report.module("add").calls) == (20, 3, 20)
