"""Makes the FACILE sample: an ntuple of toy calorimeter channels with their true energies.

    python -m evproc.producers.facile.sample OUT.root --events 100 --channels 1000 --seed 1

The toy, channel by channel (`Detector` is in detector.py):

    energy     half of the channels take part in the collision's hard process: dN/dE ~ E^-1.6 from 0.1 to 400 GeV. On
               top come soft particles of simultaneous collisions, more of them forward and in the front layers, mean
               0.3 GeV. The sum is the truth, `genEnergy`: what this bunch crossing left in the channel.
    pile-up    the three crossings before and the three after leave energy in the same way, mean 0.4 GeV, one in fifty
               5 GeV. They are not in the truth, but their pulses reach into the slices.
    pulse      each energy, divided by the gain, is a charge, spread over the slices by its arrival time. A low pulse
               comes up to 2.5 ns late (time slew), and arrivals vary by 1 ns, and by 3 ns / sqrt(E + 0.5 GeV) more
               for the few particles of small energies.
    noise      photo-electrons of pulse and dark current are counted (Poisson, 44 fC each, a tenth of that
               fluctuation), electronics add 8 fC, the digitiser rounds.

Not in the toy: shower shapes (channels know nothing of each other), SiPM saturation (as if corrected for, as in the CMS
producer).

Policy: an event depends on (seed, its number, its number of channels) alone, never on how many are made or in which
pieces they are written. Memory is bounded by bytes: events are gathered until they hold about 8 MB, then written;
16,000 channels make 2.4 MB per event.
What would change it: if uproot learns to write jagged arrays of fixed-size arrays to a TTree, eight branches become one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evproc.producers.sample_file import (
    check_sizes,
    collection,
    collection_type,
    drawn_size,
    identity,
    sample_parser,
    tell,
    write_sample,
)

from .detector import (
    ADC_STEP_FC,
    ARRIVAL_NS,
    DECAY_NS,
    ELECTRONICS_NOISE_FC,
    FC_PER_PHOTOELECTRON,
    SLICES,
    SOI,
    Array,
    Floats,
    digitised,
    pulse_fractions,
    toy_detector,
)

if TYPE_CHECKING:
    pass

COLLECTION = "HBHEChannel"
EXTEND_BYTES = 8_000_000
CROSSINGS = (-3, -2, -1, 1, 2, 3)
"""Bunch crossings other than this one whose pulses reach the slices."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The energies of the hard process: dN/dE ~ E^-index between `lowest` and `highest`, GeV."""

    index: float = 1.6
    """More than 1; just above 1 is flat in log E."""
    lowest: float = 0.1
    highest: float = 400.0


FALLING = Spectrum()
"""The spectrum of the sample."""
FLAT = Spectrum(index=1.001, lowest=2.0)
"""As many channels at 200 GeV as at 2 GeV, per octave: for training, where the falling spectrum has few."""

Channels = dict[str, Array]
"""One event's channels by short name (`ieta`, `charge0`, ... `genEnergy`), (channels,) each."""


def make_channels(channels: int, seed: int, event: int = 0, spectrum: Spectrum = FALLING) -> Channels:
    """One event: `channels` channels with read-out and true energy.

    The channels are different ones of the detector, in random order, up to its 15,840; beyond, some come twice.

    returns: ieta, iphi, depth (int32), gain (GeV/fC), charge0..7 (fC), pedestal0..7 (fC), noiseADC0..7 (fC),
             noisePhoto0..7 (fC), genEnergy (GeV), (channels,) float32 each
    """
    rng = np.random.default_rng([seed, event])
    detector = toy_detector()
    where = _some_channels(rng, channels, len(detector))
    front = (1.0 + 2.0 * (np.abs(detector.ieta[where]) / 29.0) ** 2) / np.sqrt(detector.depth[where])
    energy = _hard_energy(rng, channels, spectrum) + _soft_energy(rng, 0.2 * front, 0.3)
    decay = np.where(detector.endcap[where], *DECAY_NS[::-1]).astype(np.float32)
    fc_per_gev = 1.0 / (detector.gain[where] * detector.response[where])
    light = np.zeros((SLICES, channels), dtype=np.float32)
    _add_pulses(light, rng, 0, energy, fc_per_gev, detector.delay[where], decay)
    for crossing in CROSSINGS:
        deposit = _soft_energy(rng, 0.15 * front, 0.4) + _soft_energy(rng, 0.003 * front, 5.0)
        _add_pulses(light, rng, crossing, deposit, fc_per_gev, detector.delay[where], decay)

    first = rng.integers(0, 4, channels)
    capacitor = (first[None, :] + np.arange(SLICES)[:, None]) % 4
    pedestal = detector.pedestal[where[None, :], capacitor]
    photoelectrons = rng.poisson((light + pedestal) / FC_PER_PHOTOELECTRON).astype(np.float32)
    spread = np.sqrt(ELECTRONICS_NOISE_FC**2 + (0.1 * FC_PER_PHOTOELECTRON) ** 2 * photoelectrons)
    spread *= rng.standard_normal((SLICES, channels), dtype=np.float32)
    charge, step = digitised((FC_PER_PHOTOELECTRON * photoelectrons + spread).astype(np.float32))
    noise_adc = step / np.float32(np.sqrt(12.0))
    signal = charge - pedestal
    noise_photo = np.sqrt(FC_PER_PHOTOELECTRON * np.where(signal > ADC_STEP_FC, signal, 0.0)).astype(np.float32)

    event_channels: Channels = {
        "ieta": detector.ieta[where],
        "iphi": detector.iphi[where],
        "depth": detector.depth[where],
        "gain": detector.gain[where],
    }
    for name, table in (
        ("charge", charge),
        ("pedestal", pedestal),
        ("noiseADC", noise_adc),
        ("noisePhoto", noise_photo),
    ):
        event_channels |= {f"{name}{time_slice}": row for time_slice, row in enumerate(table)}
    event_channels["genEnergy"] = energy
    return event_channels


def _some_channels(rng: np.random.Generator, channels: int, available: int) -> Array:
    """where: (channels,) int64: different positions as long as there are any."""
    laps = [rng.permutation(available) for _ in range(channels // available)]
    rest = rng.choice(available, channels % available, replace=False)
    return np.concatenate([*laps, rest]).astype(np.int64)


def _hard_energy(rng: np.random.Generator, channels: int, spectrum: Spectrum) -> Floats:
    """energy: (channels,) float32, GeV: the hard process for half of the channels, 0 for the others."""
    power = 1.0 - spectrum.index
    lowest, highest = spectrum.lowest**power, spectrum.highest**power
    energy = (lowest + rng.random(channels) * (highest - lowest)) ** (1.0 / power)
    return np.where(rng.random(channels) < 0.5, energy, 0.0).astype(np.float32)


def _soft_energy(rng: np.random.Generator, probability: Array, mean: float) -> Floats:
    """energy: (channels,) float32, GeV: exponential with this mean where there is any, 0 elsewhere."""
    present = rng.random(len(probability), dtype=np.float32) < probability
    energy: Floats = mean * rng.standard_exponential(len(probability), dtype=np.float32) * present
    return energy.astype(np.float32)


def _add_pulses(
    light: Floats,
    rng: np.random.Generator,
    crossing: int,
    energy: Floats,
    fc_per_gev: Floats,
    delay: Floats,
    decay: Floats,
) -> None:
    """Add the pulses of one bunch crossing to `light`: (8, channels) float32, fC."""
    hit = np.flatnonzero(energy)
    gev = energy[hit]
    jitter = rng.standard_normal(len(hit), dtype=np.float32) * np.sqrt(1.0 + 9.0 / (gev + 0.5))
    slew = 2.5 * np.exp(-gev / 2.0)
    arrival = (ARRIVAL_NS + delay[hit] + slew + jitter.clip(-12.0, 12.0)).astype(np.float32)
    start = SOI + crossing
    fractions = pulse_fractions(arrival, decay[hit], SLICES - start + 1)
    charge = gev * fc_per_gev[hit]
    for offset, fraction in enumerate(fractions, start=start - 1):
        if 0 <= offset < SLICES:
            light[offset, hit] += charge * fraction


def _batches(events: int, channels: int, min_channels: int, seed: int) -> Iterator[tuple[int, list[Channels]]]:
    """The events in pieces of about `EXTEND_BYTES`, each with the number of its first event."""
    batch: list[Channels] = []
    size = 0
    for event in range(events):
        made = make_channels(drawn_size(min_channels, channels, seed, event), seed, event)
        width = sum(column.nbytes for column in made.values())
        if batch and size + width > EXTEND_BYTES:
            yield event - len(batch), batch
            batch, size = [], 0
        batch.append(made)
        size += width
    if batch:
        yield events - len(batch), batch


def _as_branches(first: int, batch: list[Channels]) -> dict[str, Any]:
    """A piece of the sample as what uproot writes: identity per event, and the jagged collection."""
    columns = {name: np.concatenate([event[name] for event in batch]) for name in batch[0]}
    counts = [len(event["ieta"]) for event in batch]
    return {**identity(first, len(batch)), COLLECTION: collection(counts, columns)}


def make_sample(
    path: str | Path,
    events: int = 100,
    channels: int = 1000,
    seed: int = 1,
    *,
    min_channels: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file, under a temporary name first.

    events:       number of events; they are run 1, luminosity blocks of 100, event 1, 2, ...
    channels:     channels per event, or the most of them if `min_channels` is less
    min_channels: the fewest; the number is then uniform between the two, ends included. None: always `channels`
    raises OutputError: the file exists and `overwrite` is false, it cannot be written, or what was written is short.
    """
    low = channels if min_channels is None else min_channels
    check_sizes(events, low, channels, "channels")
    fields = {name: column.dtype for name, column in make_channels(0, seed).items()}
    pieces = (_as_branches(first, batch) for first, batch in _batches(events, channels, low, seed))
    branches = {COLLECTION: collection_type(fields)}
    return write_sample(path, events, branches, pieces, title="HCAL channels of the evproc toy", overwrite=overwrite)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.sample OUT.root`."""
    parser = sample_parser("evproc.producers.facile.sample", "Make a FACILE sample.", events=100)
    parser.add_argument("--channels", type=int, default=1000, help="channels per event (default: %(default)s)")
    parser.add_argument("--min-channels", type=int, help="vary the number of channels between this and --channels")
    chosen = parser.parse_args(arguments)
    path = make_sample(
        chosen.path,
        chosen.events,
        chosen.channels,
        chosen.seed,
        min_channels=chosen.min_channels,
        overwrite=chosen.overwrite,
    )
    tell(path, chosen.events)


if __name__ == "__main__":
    main()
