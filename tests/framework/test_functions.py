"""Ordinary functions as modules."""

# ruff: noqa: N803

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pytest
from typing_extensions import TypeAliasType

from evproc.framework import (
    ConfigurationError,
    EndPath,
    Event,
    Input,
    Module,
    ModuleError,
    Process,
    analyzer,
    filter_by,
    producer,
)
from evproc.framework import Path as ModulePath
from evproc.framework.documents import format_document
from evproc.framework.graph import build
from evproc.framework.job import check
from evproc.framework.loading import dump, load, results_hash
from evproc.framework.module import products_of
from evproc.framework.testing import EventSource, run_module
from tests.framework.function_toys import (
    above,
    are_even,
    both,
    charge,
    column_total,
    extremes,
    is_even,
    later,
    later_large,
    later_sums,
    limited,
    nested,
    only_by_place,
    ratio,
    size,
    sums,
    total,
)

EVENTS: list[dict[str, Any]] = [
    {
        "Jet_pt": [50.0, 40.0, 20.0],
        "MET_pt": 10.0,
        "Muon": {"pt": [20.0, 5.0], "charge": [1.0, -1.0], "eta": [0.0, 1.0]},
    },
    {"Jet_pt": [], "MET_pt": 20.0, "Muon": {"pt": [], "charge": [], "eta": []}},
    {"Jet_pt": [35.0], "MET_pt": 30.0, "Muon": {"pt": [30.0], "charge": [-1.0], "eta": [2.0]}},
    {"Jet_pt": [31.0, 29.0], "MET_pt": 40.0, "Muon": {"pt": [50.0], "charge": [1.0], "eta": [2.0]}},
]
SUMS = ((110, 3), (0, 0), (35, 1), (60, 2))
HERE = "tests.framework.function_toys"


def plain(values: list[Any]) -> list[Any]:
    """Arrays as lists."""
    return [
        {key: getattr(item, "tolist", lambda item=item: item)() for key, item in value.items()}
        if isinstance(value, dict)
        else getattr(value, "tolist", lambda value=value: value)()
        for value in values
    ]


def fault_of(module: Module) -> str:
    """The faults of a job with this module."""
    with pytest.raises(ConfigurationError) as caught:
        run_module(module, EVENTS)
    return str(caught.value)


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: producer(total), [110.0, 0.0, 35.0, 60.0]),
        (lambda: producer(above, pt="Jet_pt"), [[50.0, 40.0], [], [35.0], [31.0]]),
        (lambda: producer(above, pt="Jet_pt", threshold=45), [[50.0], [], [], []]),
        (lambda: producer(limited, pt="Jet_pt", mode="count"), [2.0, 0.0, 1.0, 1.0]),
        (lambda: producer(charge, muons="Muon"), [1.0, 0.0, -1.0, 1.0]),
        (lambda: producer(size, muons=Input("Muon", fields=("eta",))), [2, 0, 1, 1]),
        (lambda: producer(ratio, first="MET_pt", second=1.0), [5.0, 10.0, 15.0, 20.0]),
        (lambda: producer(ratio, first=1.0, second="MET_pt", third="MET_pt"), [0.05, 0.025, 1 / 60, 0.0125]),
        (lambda: producer(sums), [{"total": t, "count": n} for t, n in SUMS]),
        (lambda: producer(extremes), [{"low": a, "high": b} for a, b in ((20, 50), (0, 0), (35, 35), (29, 31))]),
        (lambda: producer(column_total, pt="Jet_pt"), [110.0, 0.0, 35.0, 60.0]),
        (
            lambda: producer(both, pt="Jet_pt"),
            [
                {"total": 110, "large": [50, 40]},
                {"total": 0, "large": []},
                {"total": 35, "large": [35]},
                {"total": 60, "large": [31]},
            ],
        ),
        (lambda: filter_by(is_even), [False, True, False, True]),
        (lambda: filter_by(are_even), [False, True, False, True]),
        (lambda: filter_by(lambda Jet_pt: len(Jet_pt) > 1), [True, False, False, True]),
        (lambda: filter_by(lambda MET_pt: MET_pt > 15, columns=True), [False, True, True, True]),
        (lambda: producer(later, pt="Jet_pt"), [220.0, 0.0, 70.0, 120.0]),
        (lambda: filter_by(later_large, pt="Jet_pt"), [True, False, False, True]),
        (
            lambda: producer(later_sums, pt="Jet_pt"),
            [{"total": t, "count": n} for t, n in ((110, 3), (0, 0), (35, 1), (60, 2))],
        ),
        (lambda: producer(only_by_place, pt="Jet_pt", scale=2), [220.0, 0.0, 70.0, 120.0]),
        (lambda: producer(only_by_place, pt="Jet_pt", weight="MET_pt"), [1100.0, 0.0, 1050.0, 2400.0]),
        (lambda: producer(nested, pt="Jet_pt", counts={"a": 1, "b": 2}), [113.0, 3.0, 38.0, 63.0]),
        (lambda: producer(functools.partial(above, threshold=45.0), pt="Jet_pt"), [[50.0], [], [], []]),
        (lambda: producer(total, threaded=True), [110.0, 0.0, 35.0, 60.0]),
    ],
)
def test_a_function_is_a_module(make: Callable[[], Module], expected: list[Any], block: int) -> None:
    """Products, collections, settings and identities come by the signature; results do not depend on blocks."""
    ids = [(1, 1, number + 1) for number in range(len(EVENTS))]
    assert plain(run_module(make(), EVENTS, ids=ids, block=block)) == expected


def test_an_analyzer_sees_the_events_in_order() -> None:
    """A function that only looks is called for each event, in the order of the input."""
    seen: list[float] = []
    run_module(analyzer(lambda MET_pt: seen.append(float(MET_pt))), EVENTS, block=1)
    run_module(analyzer(lambda MET_pt: seen.extend(MET_pt), columns=True), EVENTS, block=3)
    assert seen == [10, 20, 30, 40] * 2


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: producer(total), {"x": "float64"}),
        (lambda: producer(above, pt="Jet_pt"), {"x": "var * float64"}),
        (lambda: producer(above, pt="Jet_pt", produces="var * float32"), {"x": "var * float32"}),
        (lambda: producer(sums), {"x:total": "float64", "x:count": "int64"}),
        (lambda: producer(extremes), {"x:low": "float64", "x:high": "float32"}),
        (lambda: producer(both, pt="Jet_pt"), {"x:total": "", "x:large": ""}),
        (lambda: producer(lambda MET_pt: {"a": 1}, produces={"a": "int64"}), {"x:a": "int64"}),
    ],
)
def test_what_it_makes_is_read_from_the_annotation(make: Callable[[], Module], expected: dict[str, str]) -> None:
    """The type of the product follows the return annotation, `produces` goes before it; several products are fields."""
    module = make()
    module.label = "x"
    assert products_of(module) == expected
    assert module.faults() == []


Number = TypeVar("Number", bound=np.generic)
Points = TypeAliasType("Points", npt.NDArray[np.float32])
Arrays = TypeAliasType("Arrays", npt.NDArray[Number], type_params=(Number,))
Same = TypeAliasType("Same", Arrays[np.int16])


def test_names_of_types_stand_for_what_they_name() -> None:
    """`type Pts = npt.NDArray[np.float32]`, plain, with a parameter, within others; NumPy has such since 2.5."""
    assert [
        products_of(_returning(kind)) for kind in (Points, Arrays[np.int32], Same, Annotated[Points, "in GeV"])
    ] == [
        {"x": "var * float32"},
        {"x": "var * int32"},
        {"x": "var * int16"},
        {"x": "in GeV"},
    ]
    assert _returning(Points).config.MET_pt == "MET_pt"  # an array is a product, though it has a default


def _returning(kind: Any) -> Module:
    def function(MET_pt: Any = None) -> Any:
        return MET_pt

    function.__annotations__ = {"MET_pt": kind | None, "return": kind}
    module = producer(function, MET_pt="MET_pt")
    module.label = "x"
    return module


def test_only_the_fields_that_are_named_are_read() -> None:
    """A Protocol, or Input, names the fields of a collection."""
    assert producer(charge, muons="Muon").inputs() == {"Muon": ("pt", "charge")}
    assert producer(size, muons=Input("Muon", fields=("eta",))).inputs() == {"Muon": ("eta",)}
    assert producer(size, muons="Muon").inputs() == {"Muon": ()}


def takes_any(*pt: float) -> float:
    return 0.0


def yields(pt: float) -> Any:
    yield pt


def takes_columns(columns: float) -> float:
    return columns


def says_nothing(pt: np.ndarray) -> None: ...


def a_tuple(pt: np.ndarray) -> tuple[float, float]:
    return 0.0, 0.0


def a_dict(pt: np.ndarray) -> dict[str, float]:
    return {}


def a_float(pt: np.ndarray) -> float:
    return 0.0


async def only_looks(pt: np.ndarray) -> None: ...


def unknown(pt: NoSuchType) -> float:  # type: ignore[name-defined]  # noqa: F821 - that is the point
    return 0.0


def odd(pt: np.ndarray, event: Event | None = None) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: producer(takes_any), "parameter '*pt: 'float'' stands for any number"),
        (lambda: producer(yields), "yields is a generator"),
        (lambda: producer(takes_columns), "'columns' cannot be the name of a parameter"),
        (lambda: producer(says_nothing), "it returns nothing (-> None), so it is no producer; use analyzer"),
        (lambda: producer(a_tuple), "returns a tuple without names; several products are a TypedDict or a NamedTuple"),
        (lambda: producer(a_dict), "returns a dict without names"),
        (lambda: producer(sums, produces="float64"), "returns several products, so `produces` is a table"),
        (lambda: producer(sums, produces={"a": ""}), "`produces` names a, but it returns total, count"),
        (lambda: filter_by(a_float), "says True or False for an event (-> bool), but returns float"),
        (lambda: filter_by(is_even, columns=True), "as a filter it returns (events,) bool, not bool"),
        (lambda: filter_by(are_even, columns=False), "say that it takes whole blocks, as awkward arrays or columns"),
        (lambda: analyzer(only_looks), "it is asynchronous, but an analyzer only looks"),
        (lambda: producer(unknown), "annotations of unknown cannot be evaluated: NameError: name 'NoSuchType'"),
        (lambda: producer(odd), "parameter 'event' cannot be a parameter of a configuration"),
        (lambda: producer(int), "it takes a function, not the class int"),
        (lambda: producer(cast(Any, "total")), "it takes a function, not str"),
        (lambda: producer(above, pts="Jet_pt"), "unknown parameter 'pts'; did you mean 'pt'?"),
        (lambda: producer(above, pt=3.0), "input should be a valid string, not 3.0"),
        (lambda: producer(limited, pt="Jet_pt", threshold=-1), "greater than or equal to 0"),
        (lambda: producer(limited, pt="Jet_pt", mode="all"), "should be 'sum' or 'count'"),
        (lambda: producer(nested, pt="Jet_pt"), "parameter 'counts' must be given"),
        (lambda: producer(total, Jet_pt="Jet_pT"), "reads 'Jet_pT', which nothing makes"),
        (lambda: producer(charge, muons="Jet_pt"), "module 'module'"),
    ],
)
def test_a_wrong_signature_is_found_before_the_first_event(make: Callable[[], Module], expected: str) -> None:
    """Making the module raises nothing; the fault comes with all others, and names the function."""
    made = make()
    if made.faults() or expected.startswith("reads"):
        assert expected in fault_of(made)
    else:
        with pytest.raises(ModuleError, match=expected):
            run_module(made, EVENTS)


def test_a_function_that_fails_is_named_with_the_event() -> None:
    """An exception of the function names module, function and event."""

    def fails(MET_pt: float) -> float:
        return 1.0 / (MET_pt - 30.0)

    with (
        np.errstate(divide="raise"),
        pytest.raises(ModuleError, match=r"module 'module' \(fails\).* failed at run 1, luminosity block 1, event 2"),
    ):
        run_module(producer(fails), EVENTS)


def workflow() -> Process:
    """A process of functions alone."""
    process = Process("FUNCTIONS")
    process.source = EventSource(EVENTS)
    process.jets = producer(above, pt="Jet_pt", threshold=25.0)
    process.sum = producer(column_total, pt="jets", produces="float64")
    process.sizes = producer(size, muons=Input("Muon", fields=("eta",)))
    process.even = filter_by(is_even)
    process.look = analyzer(says_nothing, pt="sum")
    process.path = ModulePath(process.even, process.jets, process.sum, process.sizes)
    process.end = EndPath(process.look)
    return process


def test_a_configuration_names_the_function(tmp_path: Path) -> None:
    """Dumped to YAML and read again, the process is the same; `as` says what the function is used as."""
    process = workflow()
    data = dump(process)
    assert data["modules"]["jets"] == {
        "type": f"{HERE}:above",
        "as": "producer",
        "pt": "Jet_pt",
        "threshold": 25.0,
    }
    assert data["modules"]["sum"]["as"] == {"kind": "producer", "produces": "float64"}
    assert data["modules"]["sizes"]["as"] == {"kind": "producer", "fields": {"muons": ["eta"]}}
    file = tmp_path / "functions.yaml"
    file.write_text(format_document(data, "yaml"))
    again = load(file)
    assert dump(again) == data
    assert results_hash(again) == results_hash(process)
    assert again.sizes.inputs() == {"Muon": ("eta",)}
    file.write_text(format_document(dump(process, full=False), "yaml"))
    assert dump(load(file)) == data


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{type: 'tests.framework.function_toys:total'}",
            "total is a function: say what it is, as one of `as: producer`",
        ),
        (
            "{type: 'tests.framework.function_toys:total', as: source}",
            "`as` says what the function total is: producer, filter",
        ),
        (
            "{type: 'tests.framework.function_toys:total', as: {kind: filter, produces: x}}",
            "knows kind, columns, threaded, resources and fields",
        ),
        ("{type: 'HERE:total', as: {kind: producer, colums: true}}", "not colums"),
        ("{type: 'HERE:total', as: producer, Jet: x}", "unknown parameter 'Jet'"),
        ("{type: EventSource, as: producer}", "unknown type"),
    ],
)
def test_a_wrong_entry_of_a_function(tmp_path: Path, entry: str, expected: str) -> None:
    """A configuration that does not say rightly what a function is used as is a fault of its line."""
    file = tmp_path / "wrong.yaml"
    file.write_text(f"process: X\nmodules:\n  m: {entry.replace('HERE', HERE)}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file).run()
    assert expected in str(caught.value)


def test_a_lambda_runs_but_cannot_be_dumped() -> None:
    """What has no name is a fault of the dump only, and says what to do."""
    process = workflow()
    process.short = producer(lambda Jet_pt: len(Jet_pt))
    assert check(process)[0] == []

    def local(pt: float) -> float:
        return pt

    process.inner = producer(local, pt="MET_pt")
    with pytest.raises(ConfigurationError) as caught:
        dump(process)
    assert "a lambda cannot be named in a file; define a function at the top of a module" in str(caught.value)
    assert "local cannot be named in a file: a function defines it" in str(caught.value)


def test_a_function_has_its_name_in_the_graph() -> None:
    """The graph shows the function's name as the type."""
    from evproc.framework.flow import resolve

    process = workflow()
    graph = build(process, resolve(process))
    assert {label: node.type for label, node in graph.nodes.items()}["jets"] == "above"
    assert graph.nodes["even"].kind == "filter"
    assert producer(later, pt="Jet_pt").__class__.__name__ == "later"


def test_parameters_of_a_function_are_set_by_name() -> None:
    """A parameter is set as any other, also after the module is made."""
    process = workflow()
    process.override("jets.threshold", 45.0)
    assert process.jets.config.threshold == 45.0
    process.override("jets.threshold", "high")
    assert "should be a valid number" in str(check(process)[0][0])
