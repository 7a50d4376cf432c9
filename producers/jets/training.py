"""Trains the jet energy regression on a NanoAOD with generator jets, and writes its ONNX file.

    python -m evproc.producers.jets.training NANOAOD.root --output models/jet_energy/1/model.onnx --seed 1

The problem: 200 events hold 352 matched jets, with a response that is 15 % wide. A free network learns them by heart. The
policy: 149 parameters, every weight pulled towards zero (AdamW, weight decay 10), few and small steps. What it
gains is measured by cross-validation over events: ten times, the network is trained on nine tenths of the events and
asked about the last; the shipped network is then trained on all of them. The strength of the pull was chosen among seven
settings by the same cross-validation: the best four differ by less than their uncertainties.

Cost: 10 s. What would change it: a larger file; this script takes any NanoAOD with `GenJet` branches.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import InputError
from evproc.producers.dense_network import fix_statistics, onnx_model, predictions, torch_network
from evproc.producers.onnx_graph import write_onnx
from evproc.producers.response import performance

from .features import FEATURES, corrected_pt, jet_features
from .matching import match_jets
from .network import INPUT, LAYERS, OUTPUT
from .performance import plot_performance

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

Floats = npt.NDArray[np.float32]

JET_BRANCHES = ("pt", "eta", "phi", "mass", *FEATURES[3:10])
GEN_BRANCHES = ("pt", "eta", "phi")
RHO = "fixedGridRhoFastjetAll"
STEPS = 300
LEARNING_RATE = 0.003
WEIGHT_DECAY = 10.0


@dataclass(frozen=True, slots=True)
class MatchedJets:
    """Reconstructed jets that have a generator jet, of all events."""

    features: Floats
    """features: (jets, 11) float32"""
    pt: Floats
    """pt: (jets,) float32, GeV, reconstructed"""
    gen_pt: Floats
    """gen_pt: (jets,) float32, GeV"""
    event: npt.NDArray[np.int64]
    """event: (jets,) int64, index of the jet's event in the file"""


def read_matched_jets(path: str | Path) -> MatchedJets:
    """The matched jets of a NanoAOD file, read by uproot.

    raises InputError: the file cannot be read, or has no `Jet` or `GenJet` branches that are needed
    """
    import awkward as ak
    import uproot

    names = [f"Jet_{name}" for name in JET_BRANCHES] + [f"GenJet_{name}" for name in GEN_BRANCHES] + [RHO]
    try:
        file: Any = uproot.open(path)
        with file:
            tree = file["Events"]
            missing = sorted(set(names) - set(tree.keys()))
            if missing:
                raise InputError(f"{path}: tree Events has no {', '.join(missing)}: jets cannot be matched")
            events = tree.arrays(names, library="ak")
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"cannot read jets from {path}: {error}") from error

    directions = [
        [each.to_numpy() for each in events[f"{jets}_{name}"]] for jets in ("Jet", "GenJet") for name in ("eta", "phi")
    ]
    index = [match_jets(*event) for event in zip(*directions, strict=True)]
    counts = np.array([len(each) for each in index])
    gen_first = np.concatenate([[0], np.cumsum(ak.num(events["GenJet_pt"]).to_numpy())[:-1]])
    matched = np.concatenate(index)
    keep = matched >= 0
    event_of = np.repeat(np.arange(len(events)), counts)
    flat = {name: ak.flatten(events[f"Jet_{name}"]).to_numpy()[keep] for name in JET_BRANCHES}
    gen_pt = ak.flatten(events["GenJet_pt"]).to_numpy()[(matched + gen_first[event_of])[keep]]
    rho = events[RHO].to_numpy()[event_of][keep]
    features = jet_features(SimpleNamespace(**flat), rho)
    return MatchedJets(features, flat["pt"].astype(np.float32), gen_pt.astype(np.float32), event_of[keep])


def train(features: Floats, ratio: Floats, *, seed: int, steps: int = STEPS) -> torch.nn.Sequential:
    """The trained network. Sets torch's seed and its number of threads.

    features: (jets, 11) float32
    ratio:    (jets,) float32, generator over reconstructed pT
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inputs, target = torch.from_numpy(features), torch.from_numpy(ratio)[:, None]
    network = torch_network(LAYERS)
    fix_statistics(network, inputs)
    output = network[-1]
    assert isinstance(output, torch.nn.Linear)
    with torch.no_grad():
        output.bias.fill_(float(np.median(ratio)))
    weights = [module.weight for module in network if isinstance(module, torch.nn.Linear)]
    others = [parameter for parameter in network.parameters() if not any(parameter is weight for weight in weights)]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
    )
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    loss_of = torch.nn.SmoothL1Loss(beta=0.1)
    for _ in range(steps):
        loss = loss_of(network(inputs), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return network


def cross_validated(jets: MatchedJets, *, seed: int, folds: int = 10, steps: int = STEPS) -> tuple[Floats, Floats]:
    """Each jet's correction by a network that saw no jet of its event.

    returns: the network's factors, and the plain ones (the median of the training jets), (jets,) float32 each
    """
    ratio = jets.gen_pt / jets.pt
    fold = np.random.default_rng(seed).permutation(int(jets.event.max()) + 1)[jets.event] % folds
    factors, plain = np.empty_like(ratio), np.empty_like(ratio)
    for held_out in range(folds):
        seen, asked = fold != held_out, fold == held_out
        network = train(jets.features[seen], ratio[seen], seed=seed, steps=steps)
        factors[asked] = predictions(network, jets.features[asked])[:, 0]
        plain[asked] = np.median(ratio[seen])
    return factors, plain


def comparison(jets: MatchedJets, factors: Floats, plain: Floats) -> str:
    """A Markdown table: the jets as they are, with one factor for all, and with the network's."""
    lines = ["| pT | response | resolution | rms of pT/pT(gen) - 1 | rms error, GeV |", "|---|---|---|---|---|"]
    for name, pt in (
        ("as reconstructed", jets.pt),
        ("one factor for all", corrected_pt(jets.pt, plain)),
        ("network", corrected_pt(jets.pt, factors)),
    ):
        found = performance(jets.gen_pt, pt)
        lines.append(
            f"| {name} | {found.response:.3f} +- {found.response_error:.3f} | {found.resolution:.4f} +- "
            f"{found.resolution_error:.4f} | {found.relative_rms:.3f} | {found.rms:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.jets.training NANOAOD.root --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.jets.training", description="Train the jet energy regression."
    )
    parser.add_argument("nanoaod", type=Path, help="a NanoAOD file with generator jets")
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of network and folds (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw: the jets before and after, cross-validated")
    parser.add_argument("--folds", type=int, default=10, help="parts of the cross-validation (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    jets = read_matched_jets(chosen.nanoaod)
    print(f"{len(jets.pt)} matched jets in {len(np.unique(jets.event))} events")  # noqa: T201
    factors, plain = cross_validated(jets, seed=chosen.seed, folds=chosen.folds)
    print(comparison(jets, factors, plain))  # noqa: T201
    if chosen.plot:
        plot_performance(jets.gen_pt, jets.pt, corrected_pt(jets.pt, factors), chosen.plot)
    ratio = (jets.gen_pt / jets.pt).astype(np.float32)
    network = train(jets.features, ratio, seed=chosen.seed)
    write_onnx(
        onnx_model(network, "jet_energy", INPUT, OUTPUT, {"seed": str(chosen.seed), "jets": str(len(ratio))}),
        chosen.output,
    )
    print(f"{chosen.output} written")  # noqa: T201


if __name__ == "__main__":
    main()
