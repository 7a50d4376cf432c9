"""Corrections of correctionlib: each event by the file of its run, by columns and by events the same; faults before."""

from __future__ import annotations

import gzip
import hashlib
import sys
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

import correctionlib.schemav2 as schema
import numpy as np
import pytest

from evproc.framework import ConfigurationError, EndPath, InputError, Path, Process
from evproc.framework.loading import dump, load, results_hash
from evproc.framework.testing import EventSource, run_module
from evproc.framework.workflow_import import import_workflow
from evproc.modules import CorrectionFile, CorrectionProducer, CorrectionSets, NtupleOutput
from evproc.modules.provenance_command import read_provenance
from tests.framework.core_toys import Look

ROOT = FilePath(__file__).resolve().parents[2]
EVENTS = 40
IDS = [(1 + number // 10, 1 + number % 10 // 5, number) for number in range(EVENTS)]
COUNTS = [number * 7919 % 5 for number in range(EVENTS)]
PT = [np.array([15.0 + number + 30 * jet for jet in range(n)], np.float32) for number, n in enumerate(COUNTS)]
ETA = [np.array([-2.0 + jet for jet in range(n)], np.float32) for n in COUNTS]
DATA = {"Jet_pt": PT, "Jet_eta": ETA, "rho": np.linspace(5, 40, EVENTS), "npv": np.arange(EVENTS) % 3}
SCALES: dict[str, Any] = {"inputs": {"eta": "Jet_eta", "pt": "Jet_pt", "rho": "rho"}, "constants": {"systematic": "up"}}


def write(path: FilePath, scale: float, *, name: str = "scale") -> str:
    """A file with `scale`: eta bins and a formula of pt and rho, up or nominal; `weight`: of integers; `twice`."""

    def real(key: str) -> schema.Variable:
        return schema.Variable(name=key, type="real")

    def bins(shift: float) -> schema.Binning:
        formulas: list[Any] = [
            schema.Formula(
                nodetype="formula",
                expression=f"{scale + shift} + {slope} * log(x) - 0.001 * y",
                parser="TFormula",
                variables=["pt", "rho"],
            )
            for slope in (0.01, 0.02, 0.03)
        ]
        return schema.Binning(nodetype="binning", input="eta", edges=[-5, -1, 1, 5], content=formulas, flow="error")

    systematics = [
        schema.CategoryItem(key="nominal", value=bins(0.0)),
        schema.CategoryItem(key="up", value=bins(0.1)),
    ]
    scales = schema.Correction(
        name=name,
        version=1,
        inputs=[real("eta"), real("pt"), real("rho"), schema.Variable(name="systematic", type="string")],
        output=real("factor"),
        data=schema.Category(nodetype="category", input="systematic", content=systematics),
    )
    weights = schema.Correction(
        name="weight",
        version=1,
        inputs=[schema.Variable(name="npv", type="int")],
        output=real("weight"),
        data=schema.Category(
            nodetype="category",
            input="npv",
            content=[schema.CategoryItem(key=key, value=scale * key) for key in range(3)],
        ),
    )
    both = schema.CompoundCorrection(
        name="twice",
        inputs=scales.inputs,
        output=real("factor"),
        inputs_update=["pt"],
        input_op="*",
        output_op="*",
        stack=[name, name],
    )
    made = schema.CorrectionSet(schema_version=2, corrections=[scales, weights], compound_corrections=[both])
    text = made.model_dump_json(exclude_unset=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


@pytest.fixture
def files(tmp_path: FilePath) -> list[CorrectionFile]:
    """Two files, the first for runs 1 and 2, the second from run 3 on."""
    first, second = write(tmp_path / "early.json", 0.9), write(tmp_path / "late.json.gz", 1.1)
    return [CorrectionFile(file=first, runs=(1, 2)), CorrectionFile(file=second, runs=(3, None))]


def factor(number: int, scale: float) -> np.ndarray:
    """What `scale` of such a file is for the jets of an event, with `up`."""
    slope = np.array([0.01, 0.02, 0.03])[np.digitize(ETA[number].astype(float), [-1, 1])]
    factors: np.ndarray = scale + 0.1 + slope * np.log(PT[number].astype(float)) - 0.001 * DATA["rho"][number]
    return factors


def job(files: Any, *modules: CorrectionProducer, **options: Any) -> Process:
    """A process that applies corrections."""
    process = Process("P", **options)
    process.source = EventSource(DATA, IDS, chunk=17)
    process.jec = CorrectionSets(files=files)
    for number, module in enumerate(modules):
        setattr(process, f"m{number}", module)
    process.look = Look(of=[f"m{number}" for number in range(len(modules))])
    process.path, process.end = Path(*modules), EndPath(process.look)
    return process


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_each_jet_is_corrected_by_the_file_of_its_run(files: list[CorrectionFile], block: int) -> None:
    """The factor, the scaled momentum, a compound correction, and a weight per event are what the file of the run says."""
    scale = CorrectionProducer(corrections="jec", correction="scale", **SCALES)
    scaled = CorrectionProducer(corrections="jec", correction="scale", scales="Jet_pt", **SCALES)
    twice = CorrectionProducer(corrections="jec", correction="twice", **SCALES)
    weight = CorrectionProducer(corrections="jec", correction="weight", inputs={"npv": "npv"})
    process = job(files, scale, scaled, twice, weight, block=block)
    report = process.run()
    assert report.services["jec"] == {"intervals": 2, "loaded": 2}
    for number, factors, momenta, compound, weighs in process.look.rows:
        constant = 0.9 if IDS[number][0] < 3 else 1.1
        expected = factor(number, constant)
        assert factors == pytest.approx(expected, rel=1e-12)
        assert momenta.tolist() == (factors * PT[number]).tolist()
        assert (compound >= factors**2 - 1e-9).all()
        assert weighs == pytest.approx(constant * (number % 3))


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_example_of_the_documentation(tmp_path: FilePath, block: int) -> None:
    """The per-event module of the documentation gives, bit for bit, what the columnar CorrectionProducer gives."""
    example = import_workflow(ROOT / "docs" / "examples" / "corrections.py")
    constants = {"systematic": "nominal"}
    columnar = CorrectionProducer(
        corrections="jec", correction="scale", inputs=SCALES["inputs"], constants=constants, scales="Jet_pt"
    )
    made = [
        run_module(
            module, DATA, ids=IDS, block=block, services={"jec": CorrectionSets(files=write(tmp_path / "a.json", 1.0))}
        )
        for module in (example.CorrectedJets(rho="rho"), columnar)
    ]
    assert [event.tolist() for event in made[0]] == [event.tolist() for event in made[1]]
    assert sum(map(len, made[0])) == sum(COUNTS)


def test_by_time_and_lumis(tmp_path: FilePath) -> None:
    """Files may be valid by dates, in UTC, or by luminosity blocks."""
    names = [write(tmp_path / f"{number}.json", float(number)) for number in (1, 2)]
    weigh: dict[str, Any] = {"corrections": "jec", "correction": "weight", "inputs": {"npv": "npv"}}
    data = {"npv": [1, 1, 1], "time": [1525132799, 1525132800, 1527811199]}
    dated = [
        CorrectionFile(file=names[0], times=(0, datetime(2018, 5, 1))),
        CorrectionFile(file=names[1], times=("2018-05-01T00:00:00Z", "2018-06-01T00:00:00Z")),
    ]
    assert run_module(
        CorrectionProducer(**weigh), data, services={"jec": CorrectionSets(files=dated, time="time")}
    ) == [1.0, 2.0, 2.0]
    lumis = [CorrectionFile(file=names[0], lumis=((1, 1), (1, 7))), CorrectionFile(file=names[1], lumis=((1, 8), None))]
    made = run_module(
        CorrectionProducer(**weigh),
        {"npv": [1, 1]},
        ids=[(1, 7, 1), (1, 8, 2)],
        services={"jec": CorrectionSets(files=lumis)},
    )
    assert made == [1.0, 2.0]


def test_it_is_dumped_and_hashed(files: list[CorrectionFile], tmp_path: FilePath) -> None:
    """Files and intervals survive YAML; they are in the hash of what changes results, `kept` is not."""
    process = job(files, CorrectionProducer(corrections="jec", correction="scale", **SCALES))
    process.source = __import__("evproc.modules", fromlist=["NtupleSource"]).NtupleSource(files="a.root")
    process.end = EndPath()
    del process.look
    import json

    (tmp_path / "job.json").write_text(json.dumps(dump(process)))
    again = load(tmp_path / "job.json")
    assert again.jec.config == process.jec.config
    same = results_hash(process)
    assert results_hash(again) == same
    again.jec.set(kept=5)
    assert results_hash(again) == same
    again.jec.set(files=[*files[:1]])
    assert results_hash(again) != same


def faults(process: Process) -> str:
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    return str(caught.value)


def test_faults_before_the_first_event(files: list[CorrectionFile], tmp_path: FilePath) -> None:
    """Files that are not there, names of corrections and inputs that are wrong: all before the first event."""
    scale: dict[str, Any] = {"corrections": "jec", "correction": "scale"}
    said = faults(
        job(
            files,
            CorrectionProducer(**{**scale, "correction": "scal"}, inputs={"pt": "Jet_pt"}),
            CorrectionProducer(**scale, inputs={"ptt": "Jet_pt"}),
            CorrectionProducer(**scale, inputs=SCALES["inputs"], constants={"systematic": "up", "pt": 3.0}),
            CorrectionProducer(**scale, inputs={"pt": "Jet_ptt"}),
        )
    )
    for part in (
        "m3: reads 'Jet_ptt', which nothing makes",
        "m0.correction: there is no correction 'scal'; did you mean 'scale'? ('",
        "m1.inputs: correction 'scale' has no input 'ptt'; did you mean 'pt'? ('",
        "m1.inputs: correction 'scale' needs eta, pt, rho, systematic too",
        "m2.constants: the input 'pt' is given twice, by a product and as a constant",
    ):
        assert part in said
    module = CorrectionProducer(**scale, **SCALES)
    wrong = [
        CorrectionFile(file=str(tmp_path / "erly.json")),
        CorrectionFile(file="a.json", runs=(1, 2), lumis=((1, 1), None)),
    ]
    said = faults(job(wrong, module))
    assert "jec: two intervals overlap" in said
    assert "did you mean 'early.json'?" in said
    assert "'a.json' is given several of runs, lumis and times" in said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is no file of corrections: "),
        ("a.json", '{"schema_version": 3}', "is no file of corrections: "),
        ("a.txt", "{}", "its name must end in .json or .json.gz"),
        ("a.json.gz", "{}", "is no file of corrections: "),
    ],
)
def test_files_that_are_none(tmp_path: FilePath, name: str, text: str, message: str) -> None:
    """What is no file of corrections is a fault with the reason."""
    (tmp_path / name).write_text(text)
    module = CorrectionProducer(corrections="jec", correction="weight", inputs={"npv": "npv"})
    assert message in faults(job(str(tmp_path / name), module))


def test_a_later_file_without_the_correction(files: list[CorrectionFile], tmp_path: FilePath) -> None:
    """A correction that a later file has not is an error at its first event, with the module."""
    write(tmp_path / "late.json.gz", 1.0, name="other")
    process = job(files, CorrectionProducer(corrections="jec", correction="scale", **SCALES))
    with pytest.raises(
        InputError, match=r"module 'm0'.*event 20.*there is no correction 'scale'; there are other, weight"
    ):
        process.run()


@pytest.mark.parametrize(
    ("inputs", "data", "message"),
    [
        ({"npv": "npv"}, {"npv": [0.5]}, "the input 'npv' is an integer, and its product is not"),
        ({"npv": "npv"}, {"npv": [7]}, "failed at"),
    ],
)
def test_values_that_do_not_fit(tmp_path: FilePath, inputs: dict[str, str], data: Any, message: str) -> None:
    """Values that an input cannot take are errors of the module at its event."""
    module = CorrectionProducer(corrections="jec", correction="weight", inputs=inputs)
    with pytest.raises(Exception, match=message):
        run_module(module, data, services={"jec": CorrectionSets(files=write(tmp_path / "a.json", 1.0))})


def test_objects_must_be_the_same(tmp_path: FilePath) -> None:
    """Inputs of different collections are an error that names them."""
    module = CorrectionProducer(corrections="jec", correction="scale", **SCALES)
    data = {"Jet_eta": [[1.0, 2.0]], "Jet_pt": [[1.0]], "rho": [1.0]}
    with pytest.raises(Exception, match="'Jet_eta' and 'Jet_pt' belong to different objects"):
        run_module(module, data, services={"jec": CorrectionSets(files=write(tmp_path / "a.json", 1.0))})


def test_without_correctionlib(files: list[CorrectionFile], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where correctionlib is not installed, the fault says how to get it."""
    monkeypatch.setitem(sys.modules, "correctionlib", None)
    module = CorrectionProducer(corrections="jec", correction="scale", **SCALES)
    assert "jec: needs correctionlib: pip install 'evproc[corrections]'" in faults(job(files, module))


def test_outputs_say_the_content_of_corrections(tmp_path: FilePath) -> None:
    """The content of a file that is read is in the record of outputs, by its checksum; a file that nobody reads is not."""
    file = write(tmp_path / "a.json", 1.0)
    process = Process("P")
    process.source = EventSource([{"npv": 1}])
    process.jec = CorrectionSets(files=file)
    process.other = CorrectionSets(files=file)
    process.weight = CorrectionProducer(corrections="jec", correction="weight", inputs={"npv": "npv"})
    process.out = NtupleOutput(file=str(tmp_path / "out.root"), keep=["weight"])
    process.end = EndPath(process.weight, process.out)
    process.run()
    sha256 = hashlib.sha256(FilePath(file).read_bytes()).hexdigest()
    assert read_provenance(str(tmp_path / "out.root"))["files"] == {"jec": [{"file": file, "sha256": sha256}]}
