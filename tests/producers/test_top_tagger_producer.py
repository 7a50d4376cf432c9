"""The top tagger and its plots as modules, and the figures that they tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework import EndPath, Process
from evproc.framework.errors import ConfigurationError
from evproc.framework.testing import EventSource, run_module
from evproc.producers.top_tagger import TopTaggerPerformance, TopTaggerProducer
from evproc.producers.top_tagger.performance import roc_curve
from evproc.producers.top_tagger.producer import images_of
from evproc.sonic_client import InferenceService
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec


def event(number: int, jets: int, label: bool = True) -> dict[str, Any]:
    """An event with so many jets, ten particles each, in random order among twenty others."""
    rng = np.random.default_rng([9, number])
    axes = {
        "pt": rng.uniform(500, 700, jets).astype(np.float32),
        "eta": rng.normal(0, 1, jets).astype(np.float32),
        "phi": rng.uniform(-3, 3, jets).astype(np.float32),
    }
    count = 10 * jets + 20
    which = rng.permutation(count)[: 10 * jets].astype(np.int32)
    owner = np.repeat(np.arange(jets, dtype=np.int32), 10)
    particles = {name: rng.exponential(30, count).astype(np.float32) for name in ("pt", "eta", "phi")}
    for name in ("eta", "phi"):
        particles[name][which] = axes[name][owner] + rng.normal(0, 0.3, len(which))
    labels = {"label": rng.integers(-1, 2, jets).astype(np.int32)} if label else {}
    return {"FatJet": axes | labels, "PFCands": particles, "FatJetPFCands": {"jetIdx": owner, "pFCandsIdx": which}}


def brightness(images: Any) -> Any:
    """Two numbers of each picture, by itself: its sum, and its sum weighted by rows: (jets, 2) float32."""
    rows = np.arange(224, dtype=np.float32)[:, np.newaxis]
    return np.stack([[image[..., 0].sum(), (image[..., 2] * rows).sum() / 224] for image in images]).astype(np.float32)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose model `top_tagger` sees which picture is which."""
    spec, answer = TensorSpec("image", np.dtype("f4"), (224, 224, 3)), TensorSpec("scores", np.dtype("f4"), (2,))
    model = FakeModel("top_tagger", [spec], [answer], lambda x: {"scores": brightness(x["image"])}, 32)
    with FakeServer([model]) as server:
        yield server


class Attributes:
    """A collection as modules see it."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.__dict__.update(columns)


def pictures(of: dict[str, Any]) -> Any:
    """The pictures of an event."""
    return images_of(*(Attributes(of[name]) for name in ("FatJet", "PFCands", "FatJetPFCands")))


def test_each_jet_gets_its_score(server: FakeServer) -> None:
    """For all blocks and budgets the same bits: those of the jet's own picture; an event without jets gets none."""
    given = [event(number, jets) for number, jets in enumerate((2, 0, 1, 3, 0, 1, 1, 2))]
    expected = [brightness(pictures(each))[:, 1] if len(each["FatJet"]["pt"]) else np.empty(0) for each in given]
    for block, in_flight in ((1, 64), (7, 2), (1000, 64)):
        services = [InferenceService(servers=[server.url])]
        made = run_module(TopTaggerProducer(), given, services=services, block=block, in_flight=in_flight)
        assert [scores.tobytes() for scores in made] == [scores.astype("f4").tobytes() for scores in expected]


def test_particles_of_no_jet_are_left_out() -> None:
    """Pairs of jet -1 add nothing; indices that point nowhere are errors."""
    given = event(1, 2)
    before = pictures(given)
    links = given["FatJetPFCands"]
    links["jetIdx"] = np.append(links["jetIdx"], np.int32(-1))
    links["pFCandsIdx"] = np.append(links["pFCandsIdx"], np.int32(-1))
    assert pictures(given).tobytes() == before.tobytes()
    links["jetIdx"][-1] = 0
    with pytest.raises(IndexError, match="index -1"):
        pictures(given)
    links["pFCandsIdx"][-1] = 4000
    with pytest.raises(IndexError, match="4000"):
        pictures(given)
    links["jetIdx"][-1] = 2
    links["pFCandsIdx"][-1] = 0
    with pytest.raises(ValueError, match="jets 0 to 2, but there are 2"):
        pictures(given)


def test_the_area_is_the_chance_of_the_right_order() -> None:
    """By counting pairs, equal scores as half; jets of no class are left out; fractions rise from 0 to 1."""
    scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1, 0.95, 0.5])
    labels = np.array([1, 1, 0, 0, 0, -1, 1])
    roc = roc_curve(scores, labels)
    tops, others = scores[labels == 1], scores[labels == 0]
    right = sum((top > other) + 0.5 * (top == other) for top in tops for other in others)
    assert roc.area == pytest.approx(right / 9)
    assert (roc.tops[0], roc.others[0], roc.tops[-1], roc.others[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert roc.counts == (3, 3)
    assert roc.rejection(1 / 3) == float("inf")
    assert roc.rejection(1.0) == pytest.approx(3.0)
    for wrong in (labels * 0, labels * 0 + 1):
        with pytest.raises(ValueError, match="make no ROC curve"):
            roc_curve(scores, wrong)
    with pytest.raises(ValueError, match="not a number"):
        roc_curve(scores * np.nan, labels)


def test_the_error_of_the_area_is_its_spread() -> None:
    """Hanley and McNeil's formula agrees with the spread over many samples, to 15 %."""
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], [60, 90])
    rocs = [roc_curve(rng.normal(1.2 * labels, 1.0), labels) for _ in range(400)]
    assert np.mean([roc.area_error for roc in rocs]) == pytest.approx(np.std([roc.area for roc in rocs]), rel=0.15)


def performance(given: list[dict[str, Any]], **parameters: Any) -> TopTaggerPerformance:
    """The analyzer, after a job over some events with scores."""
    process = Process("PERFORMANCE")
    process.source = EventSource(given)
    process.performance = TopTaggerPerformance(score="Score_top", **parameters)
    process.end = EndPath(process.performance)
    process.run()
    return process.performance


def scored(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with scores that follow the labels, and noise."""
    rng = np.random.default_rng(2)
    for each in given:
        truth = each["FatJet"].get("label", np.zeros(len(each["FatJet"]["pt"])))
        each["Score"] = {"top": (truth + rng.normal(0, 0.5, len(truth))).astype(np.float32)}
    return given


def test_figures_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    """The ROC curve is that of all jets, whatever the blocks; the sums of pictures are those of the single ones."""
    given = scored([event(number, jets) for number, jets in enumerate((2, 0, 1, 3, 4, 1, 2))])
    done = performance(given)
    labels = np.concatenate([each["FatJet"]["label"] for each in given])
    assert done.roc is not None
    assert done.roc.area == roc_curve(np.concatenate([each["Score"]["top"] for each in given]), labels).area
    assert "AUC" in capsys.readouterr().out
    images = np.concatenate([pictures(each)[..., 0] for each in given])
    for label in (0, 1):
        total, jets = done.sums[label]
        assert jets == (labels == label).sum()
        assert total == pytest.approx(images[labels == label].sum(axis=0), abs=1e-6)


def test_jets_without_labels(tmp_path: Path) -> None:
    """Measured jets have no labels: scores are drawn instead of a ROC curve."""
    given = scored([event(number, 2, label=False) for number in range(3)])
    done = performance(given, label=None, plot=str(tmp_path / "deep" / "scores.png"))
    assert done.roc is None
    assert done.sums[1][1] == 6
    assert [path.read_bytes()[:4] for path in tmp_path.rglob("*.png")] == [b"\x89PNG"]


def test_pictures_that_cannot_be_written(tmp_path: Path) -> None:
    """Both places are looked at before the first event."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"is a directory .*\n.*file/jets.png': .*/file' is a file, so"):
        performance(scored([event(1, 1)]), plot=str(tmp_path), images=str(tmp_path / "file" / "jets.png"))
