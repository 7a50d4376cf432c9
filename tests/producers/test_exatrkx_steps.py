"""The steps of Exa.TrkX between the networks, and the matching of tracks: small arrays whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evproc.framework.errors import ConfigurationError
from evproc.framework.testing import run_module
from evproc.producers.exatrkx import LocalTrackFinder, steps
from evproc.producers.exatrkx.performance import match, performance_table, together
from tests.producers.conftest import MODELS

LINE = (
    np.array([[0.0], [1.0], [1.5], [3.0]], np.float32) * np.ones((1, 8), np.float32) / np.sqrt(8.0).astype(np.float32)
)
"""Four points on a line, at 0, 1, 1.5 and 3."""


def by_hand(points: np.ndarray, radius: float, neighbours: int) -> list[list[int]]:
    """The graph by its definition: of each point the nearest others within the radius, kept if source > destination."""
    edges = []
    for source, point in enumerate(points):
        distance = np.sqrt(((points - point).astype(np.float64) ** 2).sum(axis=1))
        near = [
            (distance[other], other) for other in range(len(points)) if other != source and distance[other] <= radius
        ]
        edges += [[source, other] for _, other in sorted(near)[:neighbours] if source > other]
    return sorted(edges)


def test_the_graph_of_a_line() -> None:
    """Pairs within the radius, once, from the larger number to the smaller, no hit to itself."""
    assert steps.radius_graph(LINE, 1.01, 500).T.tolist() == [[1, 0], [2, 1]]
    assert steps.radius_graph(LINE, 1.6, 500).T.tolist() == [[1, 0], [2, 0], [2, 1], [3, 2]]
    assert steps.radius_graph(LINE, 1.6, 1).T.tolist() == [[2, 1], [3, 2]]
    for few in (LINE[:0], LINE[:1]):
        assert steps.radius_graph(few).shape == (2, 0)
        assert steps.radius_graph(few).dtype == np.int64


@pytest.mark.parametrize("neighbours", [1, 3, 500])
def test_the_graph_is_that_of_its_definition(neighbours: int) -> None:
    """Against a loop over all pairs, with and without the limit of neighbours."""
    points = np.random.default_rng(2).standard_normal((60, 8)).astype(np.float32)
    assert steps.radius_graph(points, 3.0, neighbours).T.tolist() == by_hand(points, 3.0, neighbours)


def test_edges_above_the_cut_are_kept() -> None:
    """The score is the logistic function of the logit; large logits do not overflow."""
    edges = np.array([[1, 2, 3, 4], [0, 1, 2, 3]])
    logits = np.array([[-1000.0], [0.1], [1000.0], [-0.1]], np.float32)
    assert steps.keep_edges(edges, logits, 0.5).tolist() == [[2, 3], [1, 2]]
    assert steps.keep_edges(edges[:, :0], logits[:0], 0.5).shape == (2, 0)
    assert steps.probability(np.array([0.0])) == 0.5


def test_tracks_are_connected_components_over_all_hits() -> None:
    """Labels count from 0 in the order of the first hit; hits without an edge, the last one too, are tracks of their own."""
    edges = np.array([[3, 4, 5], [1, 3, 2]])
    good = np.array([5.0, 5.0, 5.0], np.float32)
    assert steps.tracks(7, edges, good).tolist() == [0, 1, 2, 1, 1, 2, 3]
    assert steps.tracks(7, edges, -good).tolist() == list(range(7))
    assert steps.tracks(0, edges[:, :0], good[:0]).shape == (0,)
    assert steps.tracks(2, edges[:, :0], good[:0]).dtype == np.int64


def test_matching_is_by_double_majority() -> None:
    """A track needs most of its hits from a particle and most of the particle's hits; just half is not enough."""
    particle = np.array([0] * 8 + [1] * 6 + [2] * 10 + [-1] * 5 + [3] * 4, np.int32)
    labels = np.array([0] * 7 + [1] + [1] * 6 + [2] * 5 + [3] * 5 + [4] * 5 + [5] * 4)
    result = match(labels, particle, np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.zeros(4, np.float32))
    assert result.found.tolist() == [True, True, False]  # half of the third; the fourth has too few hits to count
    assert (result.tracks, result.matched) == (5, 2)
    assert result.fake_rate == pytest.approx(0.6)
    assert (result.hits, result.right) == (14, 13)
    assert result.purity == pytest.approx(13 / 14)
    assert result.efficiency(1.5) == (0.5, pytest.approx(np.sqrt(0.125)), 2)


def test_perfect_tracks_are_perfect_and_no_tracks_are_none() -> None:
    """The truth as labels has efficiency and purity 1, no fakes; an event without hits has no figure."""
    particle = np.repeat(np.arange(4), 6).astype(np.int32)
    pt, eta = np.linspace(1.0, 4.0, 4, dtype=np.float32), np.zeros(4, np.float32)
    perfect = match(particle.astype(np.int64), particle, pt, eta)
    assert (perfect.efficiency()[0], perfect.fake_rate, perfect.purity) == (1.0, 0.0, 1.0)
    nothing = match(np.empty(0, np.int64), np.empty(0, np.int32), pt[:0], eta[:0])
    assert np.isnan([nothing.efficiency()[0], nothing.fake_rate, nothing.purity]).all()
    both = together([perfect, nothing, perfect])
    assert (len(both.pt), both.tracks) == (8, 8)
    assert "| above 1 | 8 | 1.0000 +- 0.0000 |" in performance_table(both)


def test_the_server_runs_the_same_steps() -> None:
    """The copy beside the Python models is the file of the package, byte by byte."""
    assert (MODELS / "exatrkx" / "1" / "steps.py").read_bytes() == Path(steps.__file__).read_bytes()


def test_a_network_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """Before the first event, by name: an unknown graph network with the nearest one, and files that are missing."""
    with pytest.raises(ConfigurationError, match=r"no graph network 'exatrkx_gmn'.*exatrkx_gnn"):
        run_module(LocalTrackFinder(models=str(MODELS), gnn="exatrkx_gmn"), [{"Hit_r": []}])
    with pytest.raises(ConfigurationError, match="network 'exatrkx_filter' is not in"):
        run_module(LocalTrackFinder(models=str(tmp_path)), [{"Hit_r": []}])
