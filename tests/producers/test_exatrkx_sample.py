"""The toy tracker: helices meet layers where they must, events are reproducible, and the file holds what was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.exatrkx import make_sample
from evproc.producers.exatrkx.detector import LAYERS, RADIUS_PER_PT, crossings
from evproc.producers.exatrkx.event import make_event
from evproc.producers.exatrkx.features import hit_features, hit_order, same_particle, true_edges
from evproc.producers.exatrkx.sample import main, sample_event
from tests.root_files import open_root


def test_a_helix_meets_the_layers_where_a_circle_does() -> None:
    """At 1 GeV and 90 degrees: all ten cylinders, no disk; the chord is the radius; 2 T bend with 1668 mm/GeV."""
    angle, r = crossings(np.array([RADIUS_PER_PT]), np.array([0.0]), np.array([0.0]))
    met = np.isfinite(angle[0])
    assert pytest.approx(1667.8, abs=0.1) == RADIUS_PER_PT
    assert [layer.at for layer, here in zip(LAYERS, met, strict=True) if here] == [
        layer.at for layer in LAYERS if layer.barrel
    ]
    x = RADIUS_PER_PT * np.sin(angle[0, met])
    y = RADIUS_PER_PT * (1.0 - np.cos(angle[0, met]))
    assert np.hypot(x, y) == pytest.approx(r[0, met])


def test_a_forward_particle_meets_disks_of_its_side() -> None:
    """At eta 2.5 disks are met at their z, and never one of the other side."""
    angle, r = crossings(np.array([5 * RADIUS_PER_PT]), np.sinh([2.5]), np.array([10.0]))
    for layer, turned, distance in zip(LAYERS, angle[0], r[0], strict=True):
        if not layer.barrel and np.isfinite(turned):
            assert layer.at > 0
            assert 10.0 + 5 * RADIUS_PER_PT * np.sinh(2.5) * turned == pytest.approx(layer.at)
            assert layer.low <= distance <= layer.high


def test_an_event_depends_on_seed_and_number_alone() -> None:
    """The same arguments give the same event; other seeds and numbers give others."""
    one, again = make_event(200, 3, 5), make_event(200, 3, 5)
    assert np.array_equal(one.r, again.r)
    assert np.array_equal(one.particle, again.particle)
    for other in (make_event(200, 4, 5), make_event(200, 3, 6)):
        assert not np.array_equal(one.r[:100], other.r[:100])


@pytest.mark.parametrize("size", [0, 1, 5, 100, 3000])
def test_an_event_has_the_size_asked_for(size: int) -> None:
    """At most that many hits and at most a particle's fewer; inside the detector, and the noise that is documented."""
    event = make_event(size, 1)
    assert size - 25 <= len(event) <= size
    assert np.all(event.r < 1100.0)
    assert np.all(np.abs(event.z) < 2960.0)
    assert np.all(np.abs(event.phi) <= np.float32(np.pi))
    assert np.all(event.particle < len(event.pt))
    assert np.sum(event.particle < 0) == pytest.approx(0.05 * size, abs=1 + 5 * np.sqrt(0.05 * size))
    assert np.all((event.pt >= 0.5) & (event.pt <= 20.0))
    if size == 3000:
        assert np.bincount(event.particle[event.particle >= 0]).mean() == pytest.approx(10.0, abs=0.5)


def test_fast_particles_go_straight() -> None:
    """Hits of a particle of high momentum lie on its helix to within resolution and scattering: a line from the vertex."""
    event = make_event(3000, 7)
    row = int(np.argmax(event.pt))
    mine = event.particle == row
    z_over_r = np.polyfit(event.r[mine], event.z[mine], 1)[0]
    assert z_over_r == pytest.approx(np.sinh(event.eta[row]), abs=0.03 * float(np.cosh(event.eta[row])))


def test_features_are_scaled_and_sorted_outwards() -> None:
    """r, phi, z over 1000 mm, pi and 1000 mm; the order is that of the distance from the origin, for any order before."""
    event = make_event(50, 1)
    order = hit_order(event.r, event.z)
    features = hit_features(event.r[order], event.phi[order], event.z[order])
    assert features.dtype == np.float32
    assert features.shape == (len(event), 3)
    assert np.all(np.diff(features[:, 0] ** 2 + features[:, 2] ** 2) >= -1e-6)
    assert features[:, 1] * np.pi == pytest.approx(event.phi[order], rel=1e-6)
    mixed = np.random.default_rng(1).permutation(len(event))
    again = mixed[hit_order(event.r[mixed], event.z[mixed])]
    assert np.array_equal(again, order)


def test_true_edges_join_neighbours_of_one_particle() -> None:
    """One edge less than hits for each particle, inwards, and none to noise."""
    particle = np.array([1, 0, -1, 1, 0, -1, 1], np.int32)
    edges = true_edges(particle)
    assert sorted(map(tuple, edges.T.tolist())) == [(3, 0), (4, 1), (6, 3)]
    assert same_particle(edges, particle).all()
    assert same_particle(np.array([[5, 6, 6], [2, 5, 0]]), particle).tolist() == [False, False, True]
    assert true_edges(np.array([-1, 2])).shape == (2, 0)


def test_the_file_holds_what_was_made(tmp_path: Path) -> None:
    """Identity, hits and particles read back event by event; sizes vary on request; the command says what it wrote."""
    path = tmp_path / "tracker.root"
    main([str(path), "--events", "3", "--hits", "60", "--min-hits", "0", "--seed", "9"])
    with open_root(path) as file:
        events: Any = file["Events"].arrays()
    assert events["event"].to_list() == [1, 2, 3]
    for number in range(3):
        made = sample_event(60, 0, 9, number)
        for name in ("r", "phi", "z", "particle"):
            assert np.array_equal(events[f"Hit_{name}"][number].to_numpy(), getattr(made, name)), name
        assert np.array_equal(events["Particle_pt"][number].to_numpy(), made.pt)
    with pytest.raises(OutputError, match="exists already"):
        make_sample(path)
    with pytest.raises(OutputError, match="must not be negative"):
        make_sample(tmp_path / "other.root", events=-1)
