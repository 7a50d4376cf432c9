"""FACILE's inputs, the charge sum, and the figures they are judged by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.facile.charge_sum import charge_sum, containment
from evproc.producers.facile.detector import average_pulse
from evproc.producers.facile.features import FEATURES, TILE, channel_features
from evproc.producers.facile.performance import performance_table, plot_performance
from evproc.producers.facile.sample import make_channels
from evproc.producers.response import performance, performance_in_bins


def test_the_inputs_are_in_the_order_of_the_published_network() -> None:
    """ieta, iphi, depth, gain, then eight slices each of charge, pedestal, ADC noise and photo noise: 36."""
    assert len(FEATURES) == 36
    assert FEATURES[:5] == ("ieta", "iphi", "depth", "gain", "charge0")
    assert [FEATURES.index(name) for name in ("charge7", "pedestal0", "noiseADC0", "noisePhoto0", "noisePhoto7")] == [
        11,
        12,
        20,
        28,
        35,
    ]


@pytest.mark.parametrize("channels", [0, 1, TILE - 1, TILE, 2 * TILE + 5])
def test_each_column_is_one_input(channels: int) -> None:
    """Rows are channels, columns are the inputs, whatever the number of channels, from attributes and from keys."""
    event = make_channels(channels, seed=1)
    expected = np.stack([event[name] for name in FEATURES], axis=1).astype(np.float32)
    for form in (event, SimpleNamespace(**event)):
        features = channel_features(form)
        assert features.dtype == np.float32
        assert features.flags.c_contiguous
        assert np.array_equal(features, expected)


def test_columns_of_different_lengths_are_refused() -> None:
    """The message names the column that does not fit."""
    event = make_channels(4, seed=1)
    event["charge2"] = event["charge2"][:3]
    with pytest.raises(ValueError, match="charge2 has 3 channels, ieta has 4"):
        channel_features(event)


@pytest.mark.parametrize("slices", [2, 4])
def test_the_charge_sum_is_exact_on_an_average_pulse(slices: int) -> None:
    """Without noise, pile-up and digitisation the average pulse of any energy gives that energy."""
    energy = np.array([0.5, 20.0, 300.0], dtype=np.float32)
    gain = np.array([2e-4, 3e-4, 7e-4], dtype=np.float32)
    pulse = average_pulse()
    event = {"gain": gain}
    for time_slice in range(8):
        event[f"pedestal{time_slice}"] = np.array([50.0, 60.0, 70.0], dtype=np.float32)
        event[f"charge{time_slice}"] = event[f"pedestal{time_slice}"] + energy / gain * pulse[time_slice]
    for form in (event, SimpleNamespace(**event)):
        assert charge_sum(form, slices) == pytest.approx(energy, rel=1e-3)


def test_the_containment_is_what_the_documentation_says() -> None:
    """95.7 % of an average pulse in two slices, 99.96 % in four."""
    assert containment(2) == pytest.approx(0.957, abs=0.001)
    assert containment(4) == pytest.approx(0.9996, abs=0.0002)


def test_the_charge_sum_is_right_on_average_at_high_energy() -> None:
    """Against the whole toy it is within 1 % above 20 GeV: the baseline is not a weak one."""
    event = make_channels(16_000, seed=21)
    high = event["genEnergy"] > 20
    assert np.median(charge_sum(event)[high] / event["genEnergy"][high]) == pytest.approx(1.0, abs=0.01)


def test_the_charge_sum_of_no_channels_is_empty() -> None:
    """An event of zero channels has zero energies."""
    energy = charge_sum(make_channels(0, seed=1))
    assert energy.shape == (0,)
    assert energy.dtype == np.float32


def test_response_and_resolution_of_a_known_spread() -> None:
    """A normal spread of 10 % around 1.2 has response 1.2 and resolution 10 % / 1.2."""
    true = np.full(200_000, 50.0)
    found = performance(true, true * np.random.default_rng(1).normal(1.2, 0.1, len(true)))
    assert found.response == pytest.approx(1.2, abs=4 * found.response_error)
    assert found.resolution == pytest.approx(0.1 / 1.2, abs=4 * found.resolution_error)
    assert found.relative_rms == pytest.approx(np.hypot(0.2, 0.1), rel=0.01)
    assert found.rms == pytest.approx(50 * np.hypot(0.2, 0.1), rel=0.01)


def test_the_stated_uncertainties_are_those_of_repetition() -> None:
    """Response and resolution of repeated samples scatter by what is stated, to a fifth."""
    random = np.random.default_rng(2)
    true = np.full(400, 1.0)
    repeated = [performance(true, random.normal(1.0, 0.1, 400)) for _ in range(400)]
    assert np.std([each.response for each in repeated]) == pytest.approx(repeated[0].response_error, rel=0.2)
    assert np.std([each.resolution for each in repeated]) == pytest.approx(repeated[0].resolution_error, rel=0.2)


def test_bins_with_few_entries_have_no_figure() -> None:
    """Fewer than 20 entries give NaN, never a number from noise; entries outside of the bins count nowhere."""
    true = np.concatenate([np.full(30, 1.5), np.full(5, 2.5), np.full(9, 99.0)])
    first, second = performance_in_bins(true, true, [1.0, 2.0, 3.0])
    assert (first.entries, first.response) == (30, 1.0)
    assert second.entries == 5
    assert np.isnan(second.response)


@pytest.mark.parametrize("channels", [0, 2000])
def test_the_plot_is_a_picture(tmp_path: Path, channels: int) -> None:
    """The plot is written as PNG for many channels and for none, and the table has a row per bin."""
    event = make_channels(channels, seed=5)
    keep = event["genEnergy"] > 0.1
    true, plain = event["genEnergy"][keep], charge_sum(event)[keep]
    path = plot_performance(true, true, plain, tmp_path / "plots" / "facile.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert performance_table(true, true, plain).count("\n") == 16


def test_a_plot_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    """The message names the plot."""
    (tmp_path / "file").write_text("")
    values = np.ones(1)
    with pytest.raises(OutputError, match=r"cannot write the plot .*facile\.png"):
        plot_performance(values, values, values, tmp_path / "file" / "facile.png")
