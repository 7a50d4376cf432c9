"""Friends: each event finds its own in other files, in whatever order these are; what is not there is said or allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import ConfigurationError, InputError
from evproc.modules import Friend, friend_files
from tests.root_files import open_root

from .conftest import events_arrays, new_root
from .jobs import START, damage, job, run

Write = Callable[..., str]
WriteFriend = Callable[..., str]
SIZES = pytest.mark.parametrize("chunk", [1, 7, 1000, "auto"])


@pytest.fixture
def write_friend(tmp_path: Path) -> WriteFriend:
    """Write a friend for some events, in the order of their numbers as given."""

    def write(
        name: str,
        numbers: Any,
        *,
        kind: str = "ttree",
        basket: int = 60,
        names: dict[str, str] | None = None,
        **more: Any,
    ) -> str:
        numbers = np.asarray(numbers)
        full = events_arrays(int(numbers.max()) + 1)
        branches: dict[str, Any] = {
            (names or {}).get(key, key): full[key][numbers] for key in ("run", "luminosityBlock", "event")
        }
        branches["score"] = (numbers * 0.25).astype(np.float32)
        branches["Jet_tag"] = ak.values_astype(full["Jet_pt"][numbers] * 2, np.float64)
        branches.update(more)
        path = str(tmp_path / name)
        with new_root(path) as file:
            types = {key: str(ak.type(ak.Array(array)).content) for key, array in branches.items()}
            made = (file.mktree if kind == "ttree" else file.mkrntuple)("Friends", types)
            for start in range(0, len(numbers), basket):
                made.extend({key: array[start : start + basket] for key, array in branches.items()})
        return path

    return write


def shuffled(first: int, stop: int) -> Any:
    return np.random.default_rng(3).permutation(np.arange(first, stop))


@SIZES
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_each_event_finds_its_friend(
    write_events: Write, write_friend: WriteFriend, chunk: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Friends in another order, in other files, with more events than needed, and in small pieces."""
    monkeypatch.setattr(friend_files, "CACHE_BYTES", 4_000)
    files = [write_events(f"{n}.root", 300, first=300 * n) for n in range(2)]
    order = shuffled(0, 700)
    friends = [write_friend("a.root", order[:250], kind=kind), write_friend("b.root", order[250:], kind=kind)]
    collect, report = run(
        ("MET_pt", "score", "Jet_tag"), files=files, friends=[Friend(files=friends, tree="Friends")], chunk=chunk
    )
    assert collect.numbers == list(range(600))
    assert [values[:2] for values in collect.values] == [(0.5 * n, 0.25 * n) for n in range(600)]
    jets = events_arrays(600)["Jet_pt"]
    assert [values[2] for values in collect.values] == (2 * ak.values_astype(jets, np.float64)).tolist()
    assert report.input.left_out == {}


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_friends_of_chosen_events(write_events: Write, write_friend: WriteFriend, block: int) -> None:
    """Masks, `skip_events` and `max_events` go together with friends; two friends may have the same names by a prefix."""
    friend = write_friend("a.root", np.arange(599, -1, -1))
    process = job(
        ("score", "again_score"),
        options={"block": block},
        files=write_events(events=600),
        friends=[{"files": friend, "tree": "Friends"}, Friend(files=friend, tree="Friends", prefix="again_")],
        only=["1:2", f"2:12:{START + 555}"],
        skip_events=45,
        max_events=6,
    )
    process.run()
    assert process.collect.numbers == [95, 96, 97, 98, 99, 555]
    assert process.collect.values == [(0.25 * n, 0.25 * n) for n in process.collect.numbers]


@SIZES
def test_an_event_without_a_friend(write_events: Write, write_friend: WriteFriend, chunk: Any) -> None:
    """By default it is an error that names it; it can be skipped, or have None for the products of the friend."""
    files = write_events(events=200)
    there = [n for n in range(200) if n % 10 != 3]
    friend: dict[str, Any] = {"files": write_friend("a.root", there), "tree": "Friends"}
    with pytest.raises(InputError) as caught:
        run(("score",), files=files, friends=[friend], chunk=chunk)
    text = f"entry 3: run 1, luminosity block 1, event {START + 3} is not in the files of friend"
    assert text in str(caught.value)
    assert "and 19 more events of this segment neither; set its `missing` to 'skip' or 'absent'" in str(caught.value)
    collect, report = run(("score",), files=files, friends=[friend | {"missing": "skip"}], chunk=chunk, skip_events=5)
    assert collect.numbers == there[5:]
    assert report.input.left_out == {"friends": 20, "skip_events": 5}
    products = ("score", "Jet_tag")
    collect, report = run(products, files=files, friends=[friend | {"missing": "absent"}], chunk=chunk)
    assert collect.numbers == list(range(200))
    assert [values[0] for values in collect.values] == [0.25 * n if n % 10 != 3 else None for n in range(200)]
    assert [values[1] is None for values in collect.values] == [n % 10 == 3 for n in range(200)]
    assert report.input.left_out == {}


def test_the_policy_holds_when_no_product_of_the_friend_is_read(write_events: Write, write_friend: WriteFriend) -> None:
    """Which events are processed does not depend on which branches modules happen to read."""
    friend: dict[str, Any] = {"files": write_friend("a.root", np.arange(150)), "tree": "Friends", "missing": "skip"}
    collect, report = run(files=write_events(events=200), friends=[friend])
    assert collect.numbers == list(range(150))
    assert report.input.left_out == {"friends": 50}


@SIZES
def test_friends_by_position(write_events: Write, write_friend: WriteFriend, chunk: Any) -> None:
    """For files without an identity, or in step: entry n of all files belongs to entry n of all friend files."""
    files = [write_events(f"{n}.root", 150, first=150 * n, identity=False) for n in range(2)]
    friends = [write_friend("a.root", np.arange(100)), write_friend("b.root", np.arange(100, 300))]
    friend = Friend(files=friends, tree="Friends", match="position")
    collect, _ = run(("MET_pt", "score"), files=files, friends=[friend], chunk=chunk, skip_events=90)
    assert collect.values == [(0.5 * n, 0.25 * n) for n in range(90, 300)]
    with pytest.raises(
        ConfigurationError, match="its files have 300 entries, and those of the source 150; they cannot"
    ):
        run(files=files[0], friends=[friend])
    with pytest.raises(
        ConfigurationError, match=r"friends\.0\.match: with skip_bad_files the places of events are not"
    ):
        run(files=files, friends=[friend], skip_bad_files=True)
    with pytest.raises(ConfigurationError, match="has no identity of events by which a friend could be matched"):
        run(files=files, friends=[Friend(files=friends, tree="Friends")])


def test_names_of_friends_collide_only_when_they_do(write_events: Write, write_friend: WriteFriend) -> None:
    """A product that is in both is a fault that names both files; identities of friends are no products."""
    friend = write_friend("a.root", np.arange(100), MET_pt=np.zeros(100, np.float32), flag=np.ones(100, np.bool_))
    files = write_events(events=100)
    with pytest.raises(ConfigurationError) as caught:
        run(files=files, friends=[Friend(files=friend, tree="Friends")])
    (fault,) = caught.value.faults
    assert (fault.label, fault.key) == ("source", "friends.0")
    assert f"its products 'MET_pt', 'flag' ({friend}, tree 'Friends') have the names of others" in fault.message
    assert "give it a prefix" in fault.message
    collect, _ = run(("MET_pt", "f_MET_pt"), files=files, friends=[Friend(files=friend, tree="Friends", prefix="f_")])
    assert collect.values == [(0.5 * n, 0.0) for n in range(100)]
    process = job(("f_event",), files=files, friends=[Friend(files=friend, tree="Friends", prefix="f_")])
    with pytest.raises(ConfigurationError, match="reads 'f_event', which nothing makes"):
        process.run()


def test_collections_of_friends_have_the_prefix(write_events: Write, write_friend: WriteFriend) -> None:
    """`Jet_tag` of a friend with the prefix `f_` is `f_Jet` with the field `tag`."""
    friend = write_friend("a.root", np.arange(10))
    process = job(files=write_events(events=10), friends=[Friend(files=friend, tree="Friends", prefix="f_")])
    catalog = process.source.catalog()
    assert catalog.collections["f_Jet"] == ("tag",)
    assert catalog.products["f_Jet_tag"] == "var * float64"


def test_identities_of_friends_may_have_other_names(write_events: Write, write_friend: WriteFriend) -> None:
    """As those of the source, the branches with the identity can be named; a friend without one says what to do."""
    names = {"run": "Run", "luminosityBlock": "LS", "event": "Evt"}
    friend = write_friend("a.root", shuffled(0, 50), names=names)
    files = write_events(events=50)
    named = Friend(files=friend, tree="Friends", run="Run", luminosity_block="LS", event="Evt")
    collect, _ = run(("score",), files=files, friends=[named])
    assert collect.values == [(0.25 * n,) for n in range(50)]
    with pytest.raises(ConfigurationError, match=r"it has no identity of events.* or set match to 'position'"):
        run(("score",), files=files, friends=[Friend(files=friend, tree="Friends")])


def test_a_friend_that_has_an_event_twice_is_an_error(write_events: Write, write_friend: WriteFriend) -> None:
    """Which of the two would be meant cannot be told."""
    friend = write_friend("a.root", [0, 1, 2, 3, 1, 4])
    with pytest.raises(
        InputError, match=r"a\.root, tree 'Friends', entry 4: run 1, luminosity block 1, event .* twice in"
    ):
        run(("score",), files=write_events(events=5), friends=[Friend(files=friend, tree="Friends")])


@SIZES
def test_broken_files_of_friends(write_events: Write, write_friend: WriteFriend, chunk: Any) -> None:
    """With `skip_bad_files`, what is lost of a friend is told, and its events are as if they were not there."""
    files = write_events(events=300)
    one, two = write_friend("a.root", np.arange(150)), write_friend("b.root", np.arange(150, 300))
    damage(one, "score", 1, "Friends")
    friend: dict[str, Any] = {"files": [one, two], "tree": "Friends", "missing": "skip"}
    with pytest.raises(InputError, match=r"a\.root, tree 'Friends': branch 'score', entries .* cannot be read"):
        run(("score",), files=files, friends=[friend], chunk=chunk)
    collect, report = run(("score",), files=files, friends=[friend], chunk=chunk, skip_bad_files=True)
    assert collect.values == [(0.25 * n,) for n in [*range(60), *range(120, 300)]]
    assert collect.numbers == [*range(60), *range(120, 300)]
    (lost,) = report.input.lost
    assert (lost.file, lost.first, lost.last) == (one, 60, 119)
    assert report.input.left_out == {"friends": 60}
    Path(two).write_text("no ROOT file any more, whatever its name says")
    collect, report = run(
        ("score",), files=files, friends=[friend | {"missing": "absent"}], chunk=chunk, skip_bad_files=True
    )
    assert [values[0] is None for values in collect.values] == [n >= 150 or 60 <= n < 120 for n in range(300)]
    assert {lost.file for lost in report.input.lost} == {one, two}


def test_only_consumed_branches_of_friends_are_read(
    write_events: Write, write_friend: WriteFriend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a friend, the identity and what modules consume."""
    asked: set[str] = set()
    read = friend_files.read_sound

    def spy(reader: Any, keys: Any, *rest: Any) -> Any:
        asked.update(keys)
        return read(reader, keys, *rest)

    monkeypatch.setattr(friend_files, "read_sound", spy)
    friend = Friend(files=write_friend("a.root", np.arange(50)), tree="Friends")
    run(("score",), files=write_events(events=50), friends=[friend])
    assert asked == {"run", "luminosityBlock", "event", "score"}


def test_a_real_ntuple_split_in_two(real_file: Callable[[str], str], tmp_path: Path) -> None:
    """CMS NanoAOD: jets written to another file in reverse order come back to the events that they belong to."""
    path = real_file("nanoAOD_2015_CMS_Open_Data_ttbar.root")
    with open_root(path) as file:
        arrays = file["Events"].arrays(["run", "luminosityBlock", "event", "Jet_pt", "Jet_eta"])
    other = str(tmp_path / "jets.root")
    with new_root(other) as file:
        columns = {key: arrays[key][::-1] for key in arrays.fields}
        file.mktree("Jets", {key: str(ak.type(column).content) for key, column in columns.items()}).extend(columns)
    products = ("Jet_pt", "far_Jet_pt", "far_Jet_eta")
    collect, _ = run(products, files=path, friends=[Friend(files=other, tree="Jets", prefix="far_")], chunk=64)
    assert (
        [values[0] for values in collect.values]
        == [values[1] for values in collect.values]
        == arrays["Jet_pt"].tolist()
    )
    assert [values[2] for values in collect.values] == arrays["Jet_eta"].tolist()
