"""Configuration: every fault names file, line, label, key and the nearest right name, and all come together."""

from __future__ import annotations

import re
from typing import Any

import pytest

from evproc.framework import Block, ConfigurationError, Fault, Input, InputTag, Parameter, Producer
from evproc.framework.config import input_tags, is_placement, unit_of
from evproc.framework.errors import did_you_mean, nearest


class Scale(Block):
    """Factor and offset."""

    factor: float = Parameter(2.0, description="multiplies", gt=0)
    offset: float = Parameter(0.0, description="is added", unit="GeV")


class Tree(Block):
    """A block with blocks in it."""

    scale: Scale = Scale()
    more: list[Scale] = Parameter(default_factory=list, description="others")


class Energy(Producer):
    """A module with parameters of all kinds."""

    class Config(Producer.Config):
        of: InputTag = "x"
        min_energy: float = Parameter(0.01, description="lower clamp", unit="GeV", gt=0)
        name: str = Parameter("", description="a word", placement=True)
        scale: Scale = Scale()
        tree: Tree | None = None


def faults(**parameters: Any) -> list[str]:
    """The faults of the module with these parameters, without where they are."""
    module = Energy(**parameters)
    module.label = "energy"
    return [re.sub(r"  \[.*\]", "", str(fault)) for fault in module.faults()]


def test_right_parameters_are_converted_and_defaults_filled() -> None:
    """A sound module has its whole configuration at once, typed."""
    module = Energy(min_energy=1, scale=Scale(factor=3))
    assert module.faults() == []
    assert module.config.min_energy == 1.0
    assert (module.config.scale.factor, module.config.scale.offset, module.config.of) == (3.0, 0.0, "x")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"min_enrgy": 1}, "energy.min_enrgy: unknown parameter 'min_enrgy'; did you mean 'min_energy'? (Energy)"),
        ({"zzz": 1}, "energy.zzz: unknown parameter 'zzz'; it knows min_energy, name, of, scale, tree (Energy)"),
        ({"min_energy": "low"}, "energy.min_energy: input should be a valid number, .*, not 'low' (Energy)"),
        ({"min_energy": 0}, "energy.min_energy: input should be greater than 0, not 0 (Energy)"),
        ({"scale": Scale(factor=-1)}, "energy.scale.factor: input should be greater than 0, not -1 (Energy)"),
        ({"scale": Scale(fctor=1)}, "energy.scale.fctor: unknown parameter 'fctor'; did you mean 'factor'? (Energy)"),  # type: ignore[call-arg]
        ({"scale": {"factor": -1}}, "energy.scale.factor: input should be greater than 0, not -1 (Energy)"),
        (
            {"tree": Tree(scale=Scale(factor=-1))},
            "energy.tree.scale.factor: input should be greater than 0, not -1 (Energy)",
        ),
        (
            {"tree": Tree(more=[Scale(), Scale(of=1)])},
            "energy.tree.more.1.of: unknown parameter 'of'; it knows factor, offset (Energy)",
        ),  # type: ignore[call-arg]
        ({"scale.factor": -2}, "energy.scale.factor: input should be greater than 0, not -2 (Energy)"),
        ({"scale": 3}, "energy.scale: input should be a valid dictionary or instance of Scale, not 3 (Energy)"),
    ],
)
def test_a_fault_names_label_key_and_what_is_right(parameters: dict[str, Any], text: str) -> None:
    """One wrong parameter is one fault, at its full key, however deep and however it was given."""
    (fault,) = faults(**parameters)
    assert re.fullmatch(re.escape(text).replace(r"\.\*", ".*"), fault), fault


def test_all_faults_of_a_module_come_together() -> None:
    """Several wrong parameters are several faults, in one go."""
    assert len(faults(min_enrgy=1, min_energy=-1, scale=Scale(factor=0, offset="much"))) == 4  # type: ignore[arg-type]


def test_constructing_never_raises_and_using_does() -> None:
    """A faulty module raises when its configuration is used, with its faults; not when it is made."""
    module = Energy(min_enrgy=1)
    with pytest.raises(ConfigurationError, match=r"unknown parameter 'min_enrgy'") as caught:
        _ = module.config
    assert len(caught.value.faults) == 1
    assert caught.value.exit_code == 2


def test_a_fault_names_the_line_that_made_the_module() -> None:
    """File and line are those of the workflow, not of evproc."""
    module = Energy(wrong=1)
    (fault,) = module.faults()
    line = test_a_fault_names_the_line_that_made_the_module.__code__.co_firstlineno + 2
    assert fault.where == f"test_config.py:{line}"


def test_set_mends_and_breaks() -> None:
    """set() takes dotted keys into blocks, keeps what was given before, and finds faults anew."""
    module = Energy(min_energy=-1)
    module.set(min_energy=2, **{"scale.factor": 5})
    assert module.faults() == []
    assert (module.config.min_energy, module.config.scale.factor) == (2.0, 5.0)
    module.set(**{"scale.offset": 1})
    assert (module.config.scale.factor, module.config.scale.offset) == (5.0, 1.0)
    module.set(name=3)
    assert len(module.faults()) == 1


def test_set_opens_a_block_that_was_given_as_one() -> None:
    """A dotted key changes one field of a block that was given whole."""
    module = Energy(scale=Scale(factor=7))
    module.set(**{"scale.offset": 2})
    assert (module.config.scale.factor, module.config.scale.offset) == (7.0, 2.0)


def test_an_unknown_attribute_is_named() -> None:
    """A typing error in a module's own code says which module."""
    module = Energy()
    module.label = "energy"
    with pytest.raises(AttributeError, match=r"Energy 'energy' has no attribute 'confg'"):
        _ = module.confg  # type: ignore[attr-defined]  # the typing error is what is tested


class Reader(Producer):
    """A module that reads in all the ways that there are."""

    consumes = ("met", "Jet")

    class Nested(Block):
        """With an input of its own."""

        weight: InputTag = "w"
        others: list[InputTag] = ["o1", "o2"]

    class Config(Producer.Config):
        jets: InputTag = Input("Muon", fields=["pt"])
        same: InputTag = Input("Muon", fields=["eta"])
        whole: InputTag = Input("Tau", fields=["pt"])
        again: InputTag = "Tau"
        maybe: InputTag | None = None
        nested: Any = None
        blocks: list[Scale] = Parameter(default_factory=list, description="no inputs")


def test_inputs_are_found_wherever_they_are() -> None:
    """Tags, optional tags, lists of tags and tags in blocks are inputs; `consumes` adds to them."""

    class Deep(Producer):
        class Config(Producer.Config):
            nested: Reader.Nested = Reader.Nested()
            many: list[Reader.Nested] = [Reader.Nested(weight="w2", others=[])]
            maybe: InputTag | None = None
            some: InputTag | None = "s"
            text: str = "t"

    assert set(Deep().inputs()) == {"w", "o1", "o2", "w2", "s"}


def test_two_tags_of_one_collection_read_the_fields_of_both() -> None:
    """Fields asked for in several places add up, and one that asks for all gets all."""
    inputs = Reader().inputs()
    assert set(inputs["Muon"]) == {"pt", "eta"}
    assert inputs["Tau"] == ()
    assert inputs["met"] == ()
    assert set(input_tags(Reader().config)) == {"Muon", "Tau"}


def test_a_collection_in_consumes_and_in_a_tag_is_read_whole() -> None:
    """`consumes` names all fields of a collection; a tag with some fields does not take the others away."""

    class Both(Producer):
        consumes = ("Jet",)

        class Config(Producer.Config):
            jets: InputTag = Input("Jet", fields=["pt"])

    assert Both().inputs() == {"Jet": ()}


def test_fields_say_their_unit_and_whether_they_place() -> None:
    """Unit and placement are read from the field."""
    fields = Energy.Config.model_fields
    assert unit_of(fields["min_energy"]) == "GeV"
    assert unit_of(fields["of"]) == ""
    assert is_placement(fields["name"])
    assert not is_placement(fields["min_energy"])


def test_a_configuration_cannot_be_changed_by_a_module() -> None:
    """The configuration of a module is constant during a job."""
    with pytest.raises(TypeError, match=r"not changed by assigning to 'min_energy'"):
        Energy().config.min_energy = 3.0


def test_nearest_ignores_case_and_offers_the_best_first() -> None:
    """did_you_mean names at most three, in words; nothing if nothing is near."""
    assert nearest("jet_PT", ["Jet_pt", "MET_pt", "Jet_phi"])[0] == "Jet_pt"
    assert did_you_mean("a", ["zzz"]) == ""
    assert did_you_mean("Jet_p", ["Jet_pt", "Jet_phi"]) == "; did you mean 'Jet_pt' or 'Jet_phi'?"


def test_the_error_lists_each_fault_on_a_line() -> None:
    """ConfigurationError shows label, key, message and place of each fault."""
    error = ConfigurationError([Fault("is wrong", "a", "b", "w.py:3"), Fault("too")])
    assert str(error) == "2 faults in the configuration:\n  - a.b: is wrong  [w.py:3]\n  - too"
    assert str(ConfigurationError([Fault("x")])).startswith("1 fault in")
