"""Toy showers, the images of their cells, sums of cells, and the ntuple."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.deepcalo.cell_sum import CALIBRATION, calibrated_sum, cell_images, cell_sum, fit_calibration
from evproc.producers.deepcalo.detector import local_response, upstream_material
from evproc.producers.deepcalo.sample import main, make_sample
from evproc.producers.deepcalo.showers import corner, make_electrons
from evproc.producers.response import performance
from tests.root_files import open_root


def test_a_cell_holds_the_integral_of_the_profile() -> None:
    """The four corners give the integral over a cell, and the whole plane gives one."""
    far = 1e9
    corners = corner(np.array([-far, far])[:, None], np.array([-far, far]), np.array(7.0))
    assert np.diff(np.diff(corners, axis=0), axis=1)[0, 0] == pytest.approx(1.0)
    x, y = (np.linspace(low, low + 4.0, 401) for low in (2.0, -3.0))
    middle = (x[1:, None] + x[:-1, None]) / 2.0, (y[1:] + y[:-1]) / 2.0
    density = 49.0 / (np.pi * (middle[0] ** 2 + middle[1] ** 2 + 49.0) ** 2)
    cell = np.diff(np.diff(corner(x[[0, -1], None], y[[0, -1]], np.array(7.0)), axis=0), axis=1)[0, 0]
    assert cell == pytest.approx(density.sum() * 0.01 * 0.01, rel=1e-5)


def test_an_event_is_its_seed_and_number() -> None:
    """The same event has the same bits; another number or seed gives another one."""
    first = make_electrons(3, seed=7, event=4)
    again = make_electrons(3, seed=7, event=4)
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert first["cells"].shape == (3, 56, 11, 4)
    assert {values.dtype for values in first.values()} == {np.dtype(np.float32)}
    for other in (make_electrons(3, seed=7, event=5), make_electrons(3, seed=8, event=4)):
        assert other["cells"].tobytes() != first["cells"].tobytes()
    assert make_electrons(0, seed=7)["cells"].shape == (0, 56, 11, 4)


def test_the_sum_of_cells_is_too_low_and_wide() -> None:
    """Material before the calorimeter takes energy away: most from low energies, and more where there is more of it."""
    soft, hard = make_electrons(600, 5, 1, energy=8.0), make_electrons(600, 5, 2, energy=300.0)
    low, high = (performance(each["genEnergy"], cell_sum(each["cells"])) for each in (soft, hard))
    assert 0.85 < low.response < high.response < 0.98
    assert low.resolution > 3.0 * high.resolution
    for sample in (soft, hard):
        much = sample["upstream"] > 3.0
        seen = cell_sum(sample["cells"]) / sample["genEnergy"]
        assert np.median(seen[much]) < np.median(seen[~much]) - 0.01


def test_showers_are_spread_over_layers_and_cells() -> None:
    """Most is in the middle layer, some in the strips; the centre holds most; noise alone is as the table says."""
    made = make_electrons(400, 6, energy=100.0)
    shares = made["cells"].sum(axis=(1, 2)).mean(axis=0) / 100.0
    assert shares[2] > shares[1] > shares[0] > shares[3] > 0.0
    window = made["cells"][:, 16:40, 2:9].sum(axis=(1, 2, 3))
    assert 0.85 < np.median(window / cell_sum(made["cells"])) < 0.99
    corner_cells = made["cells"][:, :8, 0, 2].sum(axis=1)
    assert corner_cells.std() == pytest.approx(0.045, rel=0.25)
    offsets = np.linspace(-0.5, 0.5, 1001)
    assert np.mean(local_response(offsets, 0.0 * offsets + 0.125)) == pytest.approx(1.0, abs=1e-3)
    assert upstream_material(np.array([0.0, -1.4])) == pytest.approx([1.8, 4.87], abs=0.01)


def test_the_calibrated_sum_is_a_fair_rival() -> None:
    """Its numbers are those of a fit to other showers, within errors; it is right on average, and better than the sum."""
    made = [make_electrons(800, 9, event) for event in (1, 2)]
    images, true = (np.concatenate([each[name] for each in made]) for name in ("cells", "genEnergy"))
    plain, calibrated = (performance(true, method(images)) for method in (cell_sum, calibrated_sum))
    assert calibrated.response == pytest.approx(1.0, abs=0.015)
    assert calibrated.resolution < 0.85 * plain.resolution
    width = np.sqrt(0.16 + 0.0144 * true + (0.01 * true) ** 2)
    again = calibrated_sum(images, fit_calibration(images, true, width))
    assert len(CALIBRATION) == 8
    assert performance(true, again).resolution == pytest.approx(calibrated.resolution, rel=0.08)


def test_cells_are_images() -> None:
    """A flat list of cells is the images without a copy; what is no whole number of images is refused with its shape."""
    made = make_electrons(2, 1)["cells"]
    assert np.shares_memory(cell_images(made.reshape(-1)), made)
    assert cell_images(made.reshape(-1)).tobytes() == cell_images(made).tobytes() == made.tobytes()
    assert cell_images(np.empty(0, np.float32)).shape == (0, 56, 11, 4)
    for wrong in (np.zeros(2463, np.float32), np.zeros((2, 11, 56, 4), np.float32)):
        with pytest.raises(ValueError, match=r"not images of 56 x 11 x 4 = 2464 cells"):
            cell_images(wrong)


def test_the_ntuple_has_the_showers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is written is what was made, event by event; the same event in a longer sample, in pieces, is the same."""
    path = tmp_path / "new" / "electrons.root"
    main([str(path), "--events", "5", "--electrons", "4", "--min-electrons", "0", "--seed", "3"])
    assert "5 events" in capsys.readouterr().out
    make_sample(tmp_path / "more.root", 210, 4, 3, min_electrons=0)
    with open_root(path) as few, open_root(tmp_path / "more.root") as many:
        some, all_ = few["Events"].arrays(), many["Events"].arrays()
    assert some["event"].to_list() == [1, 2, 3, 4, 5]
    assert all_["luminosityBlock"].to_list() == [1] * 100 + [2] * 100 + [3] * 10
    assert ak.array_equal(some, all_[:5])
    counts = ak.num(some["Electron_eta"]).to_list()
    assert min(counts) < max(counts)
    for number, count in enumerate(counts):
        made = make_electrons(count, 3, number)
        assert ak.to_numpy(some["ElectronCells"][number]).tobytes() == made["cells"].tobytes()
        assert ak.to_numpy(some["Electron_genEnergy"][number]).tobytes() == made["genEnergy"].tobytes()


def test_a_sample_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file that is there stays; impossible sizes are refused; nothing is left beside."""
    path = tmp_path / "electrons.root"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        make_sample(path, 1, 1)
    with pytest.raises(OutputError, match="with 3 to 2 electrons"):
        make_sample(tmp_path / "other.root", 1, 2, min_electrons=3)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("electrons.root", "precious")]
