"""Jets of top quarks and of quarks and gluons: Pythia 8 makes the collisions, fastjet the jets.

    collisions  proton on proton at 13 TeV, Pythia's default tune. Top pairs, both tops to hadrons (gg and qq to t tbar);
                or QCD dijets (all hard 2 to 2 processes). With showers, underlying event, hadrons and their decays.
                The hard process has a pT between 480 and 900 GeV.
    jets        anti-kT, R = 0.8, of all stable particles but neutrinos with |eta| < 3.4; kept are those with
                500 < pT < 700 GeV and |eta| < 2.4.
    label       1: a top is within 0.8 of the jet's axis, and so are the three quarks of its decay; 0: a jet of a QCD
                event; -1: another jet of a top event, of which nothing is claimed.

Not simulated: the detector (no resolution, no granularity, no thresholds, no magnetic field), pile-up. Networks trained on
these jets are better than they would be on measured ones.

Policy: a generator's events come from one seed, in one order, so that a longer sample begins with a shorter one.
Cost: 15 ms for a collision and 5 ms for its jets, on one core; a second to start. Records are taken from Pythia in one array
for many collisions, and read as flat columns: a loop over particles in Python would cost as much as making them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError

from .images import wrapped

if TYPE_CHECKING:
    import awkward as ak

Array = npt.NDArray[Any]

RADIUS = 0.8
MIN_PT, MAX_PT, MAX_ETA = 500.0, 700.0, 2.4
COLLISIONS = 20
"""Collisions taken from Pythia at a time: 40 MB."""
PROCESSES: dict[str, tuple[str, ...]] = {
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
    "QCD": ("HardQCD:all = on",),
}
COMMON = ("Print:quiet = on", "Beams:eCM = 13000.", "PhaseSpace:pTHatMin = 480.", "PhaseSpace:pTHatMax = 900.")
NEUTRINOS = (12, 14, 16)
TOP, BOTTOM, W_BOSON = 6, 5, 24


@dataclass(frozen=True, slots=True)
class JetEvent:
    """The jets of one collision that are kept, and their particles."""

    jets: dict[str, Array]
    """pt, eta, phi, mass (GeV): (jets,) float32, falling in pt; label: (jets,) int32."""
    particles: dict[str, Array]
    """pt, eta, phi, mass (GeV): (particles,) float32; pdgId: (particles,) int32; jet by jet."""
    jet: Array
    """(particles,) int32: the jet of each particle."""


def jet_events(process: str, seed: int) -> Iterator[JetEvent]:
    """Collisions of a process with at least one jet that is kept, without end.

    process: "top" or "QCD"
    seed:    1 to 900,000,000
    raises OutputError: Pythia or fastjet is not installed; ValueError: there is no such process or seed
    """
    if process not in PROCESSES or not 1 <= seed <= 900_000_000:
        raise ValueError(f"process '{process}', seed {seed}: processes are top and QCD, seeds 1 to 900,000,000")
    try:
        import fastjet
        import pythia8mc
    except ImportError as error:
        raise OutputError(
            f"jets are made with Pythia 8 and fastjet: pip install 'evproc[systems]' ({error})"
        ) from error

    generator: Any = pythia8mc.Pythia("", False)
    for setting in (*COMMON, *PROCESSES[process], "Random:setSeed = on", f"Random:seed = {seed}"):
        assert generator.readString(setting), setting
    generator.init()
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    while True:
        records = generator.nextBatch(COLLISIONS).prt
        yield from _jets_of(Record.of(records), process, definition)


@dataclass(frozen=True, slots=True)
class Record:
    """The particles of some collisions, one after another, in Pythia's order."""

    offsets: Array
    """(collisions + 1,) int64: the first particle of each."""
    id: Array
    status: Array
    mother: Array
    """Positions of the first mother, over all collisions."""
    momentum: Array
    """(4, particles) float64: px, py, pz, E in GeV."""

    @classmethod
    def of(cls, records: ak.Array) -> Record:
        """The columns of Pythia's arrays."""
        import awkward as ak

        counts = ak.to_numpy(ak.num(records))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        first = np.repeat(offsets[:-1], counts)
        flat: Any = ak.flatten(records)
        return cls(
            offsets,
            ak.to_numpy(flat.id),
            ak.to_numpy(flat.status),
            ak.to_numpy(flat.mother1) + first,
            np.stack([ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e")]),
        )


def kinematics(momentum: Array) -> dict[str, Array]:
    """pt, eta, phi, mass of four-momenta (4, particles): px, py, pz, E, GeV."""
    px, py, pz, energy = momentum
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    return {"pt": pt, "eta": np.arcsinh(pz / np.maximum(pt, 1e-12)), "phi": np.arctan2(py, px), "mass": mass}


def _jets_of(record: Record, process: str, definition: Any) -> Iterator[JetEvent]:
    """The jets of each collision that are kept, falling in pT; collisions without any are left out."""
    import awkward as ak
    import fastjet

    neutrino = np.isin(np.abs(record.id), NEUTRINOS)
    stable = np.flatnonzero((record.status > 0) & ~neutrino)
    stable = stable[np.abs(kinematics(record.momentum[:, stable])["eta"]) < MAX_ETA + RADIUS + 0.2]
    bounds = np.searchsorted(stable, record.offsets)
    columns = dict(zip(("px", "py", "pz", "E"), record.momentum[:, stable], strict=True))
    momenta = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), np.diff(bounds))
    indices = fastjet.ClusterSequence(momenta, definition).constituent_index(min_pt=0.9 * MIN_PT).to_list()
    decays = top_decays(record) if process == "top" else None
    for number, found in enumerate(indices):
        groups = [stable[bounds[number] + np.sort(np.array(group, np.int64))] for group in found]
        axes = kinematics(np.array([record.momentum[:, group].sum(axis=1) for group in groups]).reshape(-1, 4).T)
        kept = np.flatnonzero((axes["pt"] > MIN_PT) & (axes["pt"] < MAX_PT) & (np.abs(axes["eta"]) < MAX_ETA))
        if not len(kept):
            continue
        kept = kept[np.argsort(-axes["pt"][kept], kind="stable")]
        jets = {name: values[kept] for name, values in axes.items()}
        labels = np.zeros(len(kept), np.int32) if decays is None else labels_of(jets, kinematics(decays[number]))
        rows = np.concatenate([groups[index] for index in kept])
        particles = {name: values.astype(np.float32) for name, values in kinematics(record.momentum[:, rows]).items()}
        yield JetEvent(
            {name: values.astype(np.float32) for name, values in jets.items()} | {"label": labels},
            particles | {"pdgId": record.id[rows].astype(np.int32)},
            np.repeat(np.arange(len(kept)), [len(groups[index]) for index in kept]).astype(np.int32),
        )


def top_decays(record: Record) -> Array:
    """What the two tops of each collision decay to: momenta of top, bottom (or another down quark) and the W's two quarks.

    returns: (collisions, 4, 8): px, py, pz, E; four of the top, four of the antitop
    """
    found: list[Array] = []
    kind, mother_kind = record.id, record.id[record.mother]
    for sign in (1, -1):
        down = np.isin(sign * kind, (1, 3, BOTTOM)) & (sign * mother_kind == TOP) & (np.abs(record.status) == 23)
        quarks = (np.abs(kind) <= BOTTOM) & (sign * mother_kind == W_BOSON) & (np.abs(record.status) == 23)
        quarks_at = np.flatnonzero(quarks).reshape(-1, 2)
        down_at = np.flatnonzero(down)
        found += [record.mother[down_at], down_at, quarks_at[:, 0], quarks_at[:, 1]]
    at = np.stack(found)
    assert (np.searchsorted(record.offsets, at, side="right") == np.arange(1, at.shape[1] + 1)).all()
    return record.momentum[:, at].transpose(2, 0, 1)


def labels_of(jets: dict[str, Array], decays: dict[str, Array]) -> Array:
    """1 for jets that hold a top and its three quarks, -1 for others.

    jets:    eta, phi: (jets,)
    decays:  eta, phi: (tops * 4,): top and three quarks of each top
    returns: (jets,) int32
    """
    distance = np.hypot(
        jets["eta"][:, np.newaxis] - decays["eta"],
        wrapped(jets["phi"][:, np.newaxis] - decays["phi"]),
    )
    inside = (distance < RADIUS).reshape(len(distance), -1, 4).all(axis=-1).any(axis=-1)
    return np.where(inside, 1, -1).astype(np.int32)
