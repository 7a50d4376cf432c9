"""Top quarks among jets, by a network that looks at pictures of them, on an inference server.

    evproc run workflows/top_tagger.py
    evproc run workflows/top_tagger.py --network resnet50 --events 20
    evproc run workflows/top_tagger.py --file PFNANO.root
    evproc run workflows/top_tagger.py -o inference.servers=[grpc://gpu1.example.org:8001]

Makes a sample with Pythia 8 and fastjet if no file is named; starts a Triton server if none is named; writes the scores, the
ROC curve, and what the jets look like. ResNet-50 is untrained, unless its file has been replaced; the plots say so.
"""

from pathlib import Path as FilePath
from typing import Literal

from evproc.framework import Catalog, EndPath, Parameter, Path, Process
from evproc.modules import NtupleOutput, NtupleSource
from evproc.producers.top_tagger import TopTaggerPerformance, TopTaggerProducer, TopTaggerService, make_sample
from evproc.sonic_client import Client, Fallback

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")
MODELS = {"small": "top_tagger", "resnet50": "resnet50_top_tagger"}


class JetSource(NtupleSource):
    """Reads a sample of simulated jets, which it makes if there is none of that size and seed."""

    class Config(NtupleSource.Config):
        """The size of the sample."""

        files: str | list[str] = Parameter("", description="the sample; empty: named by its size and seed")
        events: int = Parameter(400, description="events of the sample", ge=0)
        seed: int = Parameter(1, description="seed of the sample")

    config: Config

    def catalog(self) -> Catalog:
        """Make the sample if there is none; then what it offers."""
        if not self.config.files:
            sample = OUTPUT / f"jets-{self.config.events}-seed{self.config.seed}.root"
            if not sample.exists():
                make_sample(sample, self.config.events, self.config.seed)
            self.set(files=str(sample))
        return super().catalog()


def process(
    network: Literal["small", "resnet50"] = "small", file: str = "", events: int = 400, seed: int = 1
) -> Process:
    """Scores of the jets of a file with particle-flow candidates, or of jets made by Pythia."""
    model = MODELS[network]
    tagger = Process("TOPTAGGER")
    tagger.source = JetSource(files=file, events=events, seed=seed)
    tagger.inference = TopTaggerService(fallback=Fallback(models=str(REPOSITORY)))

    tagger.top_score = TopTaggerProducer(client=Client(model=model, timeout=120.0))
    tagger.performance = TopTaggerPerformance(
        label=None if file else "FatJet_label",
        title=network,
        model_file=str(REPOSITORY / model / "1" / "model.onnx"),
        plot=str(OUTPUT / f"{model}.png"),
        images=str(OUTPUT / f"{model}_jets.png"),
    )
    tagger.out = NtupleOutput(
        file=str(OUTPUT / f"{model}.root"),
        keep=["FatJet_pt", "FatJet_eta", "FatJet_phi", "top_score", *([] if file else ["FatJet_label"])],
    )

    tagger.tag = Path(tagger.top_score)
    tagger.end = EndPath(tagger.performance, tagger.out)
    return tagger
