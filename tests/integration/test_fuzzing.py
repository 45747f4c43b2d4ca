"""Whatever comes in, valid edges or an InputError come out: thousands of generated inputs."""

import os
import warnings
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import screens
import yaml
from helpers import quick
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catran_causalbench import CatranConfig, InputError, TrainingError, infer_network, load_config, validate_dataset
from catran_causalbench.config import EvidenceSettings, OutputSettings
from catran_causalbench.data.anndata_reader import read_screen

CASES = float(os.environ.get("CATRAN_FUZZING", "1"))  # times as many


def cases(number):
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=int(number * CASES), deadline=None, suppress_health_check=quiet, database=None)


TYPES = ["f2", "f4", "f8", "g", "i1", "i8", "u1", "u8", "?", ">f4", "c8", "O", "U3"]
FORMS = ["array", "list", "matrix", "masked", "fortran", "csr", "csc", "coo", "bsr", "dia", "lil", "csr_array"]
EXTREME = st.sampled_from([0, 1e-45, 1e-300, 1, 1e4, 1e11, 1e12, 2e12, 1e30, 3e38, 1e300, -1e-9, -0.0, np.inf, np.nan])
ODD = st.sampled_from(
    ["TP53", "tp53", " TP53", "A+B", "ÄÖ", "基因", "e\u0301", "é", "1", "1.0", "nan", "", " ", "a\0", "a", "\ud800",
     "non-targeting", "excluded", "NON-TARGETING", "gene,1", 'a"b', "x\ny", b"TP53", None, 7, float("nan"), ("a",)]
)  # fmt: skip
NAMES = st.one_of(st.text(max_size=4), ODD)


@st.composite
def matrices(draw, cells, genes):
    """A matrix of any type and form: mostly sound counts, spoilt in a few places."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    matrix = rng.poisson(rng.gamma(2, draw(st.sampled_from([0.05, 1, 20])), genes), (cells, genes)).astype(float)
    if draw(st.booleans()):
        matrix = np.log1p(matrix)
    if matrix.size:
        for _ in range(draw(st.integers(0, 2))):
            place = (rng.integers(cells), rng.integers(genes))
            matrix[place[0] if draw(st.booleans()) else slice(None), place[1]] = draw(EXTREME)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        matrix *= draw(st.sampled_from([1, 1, 1, 1e-44, 1e10]))
        matrix = matrix.astype(draw(st.sampled_from([*TYPES, "f4", "f8", "i8"])))
    form = draw(st.sampled_from(FORMS))
    if form == "list":
        return matrix.tolist()
    if form == "fortran":
        return np.asfortranarray(matrix)
    if form == "matrix":
        return matrix.view(np.matrix)
    if form == "masked":
        return np.ma.masked_array(matrix, matrix == matrix.flat[0] if draw(st.booleans()) and matrix.size else False)
    if form == "array" or matrix.dtype.char in "eOUg" or not matrix.dtype.isnative:
        return matrix
    return scipy.sparse.csr_array(matrix) if form == "csr_array" else scipy.sparse.csr_matrix(matrix).asformat(form)


@st.composite
def data_sets(draw, sound=False):
    """Matrix, labels and names, perhaps batches; nearly all of them sound where asked for."""
    cells, genes = draw(st.integers(0 if not sound else 2, 40)), draw(st.integers(0 if not sound else 2, 6))
    names = draw(
        st.lists(NAMES if not sound else st.text("abcÄ+ 1", min_size=1), min_size=genes, max_size=genes, unique=sound)
    )
    texts = [name for name in names if isinstance(name, str)]
    known = [*texts, "non-targeting", "non-targeting", "non-targeting", "excluded", "A+B"]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))  # a draw for each label would take most of the time
    labels = [known[number] for number in rng.integers(len(known), size=cells)]
    if not sound and labels and draw(st.integers(0, 3)) == 0:
        labels[draw(st.integers(0, len(labels) - 1))] = draw(NAMES)
    if not sound and draw(st.integers(0, 9)) == 0:
        labels, names = draw(st.sampled_from([(labels[1:], names), (labels, names[1:]), (None, names), (labels, 3)]))
    container = draw(st.sampled_from([list, tuple, iter, lambda values: np.array(values, dtype=object)]))
    batches = draw(st.sampled_from([None, None, ["x"], [1, 2], ["x", "y", ""], [0.5, 7.0, 9.0], ["x", None]]))
    if batches is not None:
        batches = [batches[number] for number in rng.integers(len(batches), size=cells)]
    return draw(matrices(cells, genes)), labels if labels is None else container(labels), names, batches


def validated(data):
    """The dataset, or None where it is refused in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "none of the .* perturbed genes", UserWarning)
            return validate_dataset(*data)
    except InputError as error:
        refusal = str(error)
    assert "; expected " in refusal
    assert "\n" not in refusal
    return None


seen = {"accepted": 0, "refused": 0}
seen_screens = {"accepted": 0, "refused": 0}


@pytest.mark.guarantee(
    "Input",
    "Any matrix, labels, names and batches give a valid dataset or an `InputError` of one line, without warnings "
    "(2,000 generated data sets).",
)
@cases(2000)
@given(st.booleans().flatmap(data_sets))
def test_a_data_set_is_valid_or_refused(data):
    dataset = validated(data)
    seen["refused" if dataset is None else "accepted"] += 1
    if dataset is None:
        return
    assert dataset.expression.dtype == np.float32
    assert dataset.expression.shape == (len(dataset.intervention), len(dataset.gene_names))
    assert np.isfinite(dataset.expression).all()
    assert (dataset.expression >= 0).all()
    assert (np.ptp(dataset.expression, axis=0) > 0).all()
    assert list(dataset.gene_names) == sorted(set(dataset.gene_names))
    assert set(dataset.intervention) <= {-2, -1, *range(dataset.num_genes)}
    assert -1 in dataset.intervention
    if dataset.batch is not None:
        perturbed, controls = dataset.batch[dataset.intervention >= 0], dataset.batch[dataset.intervention == -1]
        assert set(perturbed) <= set(controls)


def test_both_kinds_of_data_sets_were_generated():
    if sum(seen.values()):
        assert min(seen.values()) > 50 * CASES, seen


GENES = ["TP53", "NKX2-5", "HLA-A", "MT-ND1", "ORF1", "Tp53", "基因", "g1"]
GUIDES = {
    None: "{}",
    "guide-number": "{}_g{n}",
    "sg-prefix": "sg{}",
    "promoter": "{}_-_{n}.5-P1P2",
    r"(?P<target>.+)@\d": "{}@{n}",
}
ODD_LABELS = st.sampled_from(
    ["", " ", "nan", None, float("nan"), "+", "_", "A+", "ctrl+ctrl", "TP53+", "tp53", "excluded", "NTC_1", "safe",
     "sg", "sg_1", "_g1", "x\ny", "\ud800", "a\0", "ENSG00000000001.77", "ENSG00000000001.77.1", "non-targeting", "|"]
)  # fmt: skip


@st.composite
def screens_with_labels(draw):
    """A screen whose cells have labels in one of the usual forms; its options; and what the labels mean, if sound.

    The meaning of a cell is the place of its gene, or a kind of cells.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    genes = rng.permutation(GENES)[: draw(st.integers(2, 6))].tolist()
    ids = [f"ENSG{number:011}" for number in range(len(genes))]
    called, pattern = draw(st.sampled_from(["genes", "ids", "versions"])), draw(st.sampled_from(list(GUIDES)))
    separator = draw(st.sampled_from(["+", "|", ";", " & "]))
    names = genes if called == "genes" else ids
    controls = draw(st.sampled_from([["non-targeting"], ["NT", "safe"], [""]]))
    meanings = [
        *range(len(genes)),
        "control",
        "combined",
        "unmeasured",
        "unlabelled" if "" not in controls else "control",
    ]

    def name(place):
        return GUIDES[pattern].format(names[place], n=rng.integers(1, 9))

    def label(meaning):
        if meaning == "combined":
            return separator.join(map(name, rng.choice(len(genes), 2, replace=False)))
        if meaning == "control":
            return rng.choice(controls)
        if isinstance(meaning, str):
            return {"unmeasured": "XIST", "unlabelled": rng.choice(["", "nan", " "])}[meaning]
        decoration = rng.choice(
            ["", "", separator + "ctrl", separator + (controls[0] or "ctrl"), separator + "CONTROL"]
        )
        return name(meaning) + str(decoration)

    meant = [meanings[number] for number in rng.integers(len(meanings), size=draw(st.integers(1, 60)))]
    labels = list(map(label, meant))
    if draw(st.integers(0, 2)) == 0:
        labels[rng.integers(len(labels))], meant = draw(ODD_LABELS), None
    var = {
        "genes": {"index": genes},
        "ids": {"index": ids},
        "versions": {"index": [f"{id_}.{len(id_)}" for id_ in ids]},
    }
    column = draw(st.sampled_from(["Symbol", "gene_ids", "mine"]))
    duplicated = draw(st.integers(0, 9)) == 0
    table = pd.DataFrame({column: [genes[0], *genes[:-1]] if duplicated else genes}, **var[called])
    adata = anndata.AnnData(rng.random((len(labels), len(genes)), np.float32) + 0.5, var=table)
    adata.obs["label"] = pd.Series(labels, adata.obs_names, dtype=object)
    options = {
        "control": controls,
        "label_pattern": pattern,
        "combination_separator": separator,
        "gene_names": draw(st.sampled_from([None, None, column])),
        "genes": draw(st.sampled_from(["all", "perturbed", genes[:2]])),
        "min_cells": 1,
    }
    return adata, options, None if duplicated else meant


@pytest.mark.guarantee(
    "Input",
    "Any labels of a screen, with names of guides, pairs and controls in the usual forms, are read as what they mean, "
    "or refused by an `InputError` of one line (300 generated screens).",
)
@cases(300)
@given(screens_with_labels())
def test_labels_are_read_as_what_they_mean_or_refused(generated):
    adata, options, meant = generated
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            screen = read_screen(adata, perturbation_key="label", **options)
    except InputError as error:
        refusal = str(error)
        seen_screens["refused"] += 1
        sound = meant is not None and "control" in meant and any(isinstance(meaning, int) for meaning in meant)
        assert not sound or options["genes"] != "all"
        assert "; expected " in refusal
        assert "\n" not in refusal
        return
    seen_screens["accepted"] += 1
    assert sum(screen.cells.values()) == len(screen.intervention) == adata.n_obs
    assert screen.expression.tobytes() == adata[:, screen.gene_ids].X.tobytes()
    if meant is not None:
        place_of = {id_: place for place, id_ in enumerate(adata.var_names)}
        considered = [place_of[id_] for id_ in screen.gene_ids]
        code_of = {"control": -1, **{place: code for code, place in enumerate(considered)}}
        assert screen.intervention.tolist() == [code_of.get(meaning, -2) for meaning in meant]
        kinds = [
            meaning if isinstance(meaning, str) else "perturbed" if meaning in considered else "other"
            for meaning in meant
        ]
        assert screen.cells == {kind: kinds.count(kind) for kind in screen.cells}


def test_both_kinds_of_screens_were_generated():
    if sum(seen_screens.values()):
        assert min(seen_screens.values()) > 20 * CASES, seen_screens


OUTPUT = OutputSettings(edges=20)
QUICKER = replace(quick(epochs=1, cells_per_minibatch=16, genes_per_minibatch=4), output=OUTPUT)
CONFIGS = [
    QUICKER,
    CatranConfig(evidence=EvidenceSettings(steps=2, pairs_per_minibatch=32, gates=2), output=OUTPUT),
]


@pytest.mark.guarantee(
    "Input",
    "Any valid dataset gives distinct edges between known genes, best first, with finite weights (200 generated runs).",
)
@cases(200)
@given(data_sets(sound=True), st.sampled_from(CONFIGS))
def test_every_valid_data_set_gives_valid_edges(data, config):
    dataset = validated(data)
    if dataset is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*edges were asked for", UserWarning)
        edges = infer_network(dataset, config).edges()
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    assert len(pairs) == len(set(pairs)) == min(20, dataset.num_genes * (dataset.num_genes - 1))
    assert all(source != target for source, target in pairs)
    assert {gene for pair in pairs for gene in pair} <= set(dataset.gene_names)
    assert np.isfinite(edges["weight"]).all()
    assert (np.diff(edges["weight"]) <= 0).all()


KEYS = [*CatranConfig.__dataclass_fields__, *EvidenceSettings.__dataclass_fields__, "step", "x"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([10**400, -1, 1e400, "1e-3"]),
)
MAPPING_KEYS = st.sampled_from(KEYS) | SCALARS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MAPPING_KEYS, inner, max_size=3)
)
RAW = st.one_of(
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
    st.text("{}[]:-&*!|>'\"#%@, \n\tabtraining019.e<=?~_", max_size=60).map(str.encode),
    st.sampled_from(
        [b"evidence: {steps: !!int ''}", b"a: 2020-99-99", b"!!float x", b"!!bool x", b"[" * 5000, b"&a [*a, *a]",
         b"evidence: &t {steps: *t}", b"output: {run_directory: \"\\ud800\"}", b"output: {run_directory: \"\\0\"}",
         b"evidence: {steps: " + b"9" * 5000 + b"}"]
    ),
)  # fmt: skip


@pytest.mark.guarantee(
    "Input",
    "Any settings file gives valid settings or an `InputError` of one line (400 generated files).",
)
@cases(400)
@example(b"&0 [*0]")
@given(content=st.one_of(RAW, VALUES.map(lambda values: yaml.safe_dump(values).encode())))
def test_settings_are_valid_or_refused(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    try:
        config = load_config(str(path))
    except InputError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert CatranConfig.from_mapping(yaml.safe_load(config.to_yaml())).to_mapping() == config.to_mapping()
    assert "\n" not in refusal
    assert len(refusal) < 2000


def test_a_few_lines_that_stand_for_gigabytes_are_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "settings.yaml"
    path.write_text("\n".join([*lines, "evidence: *a11"]).replace("a0:", "data:", 1))
    with pytest.raises(InputError, match="expected"):
        load_config(str(path))


@pytest.mark.parametrize("name", ["x" * 5000, "null\0", "\ud800", "/", "."])
def test_names_of_settings_that_are_no_files_are_refused(name):
    with pytest.raises(InputError, match="neither a preset nor a file"):
        load_config(name)


@pytest.mark.guarantee("Input", "Sparse indices out of range never reach memory.")
def test_sparse_indices_out_of_range_are_refused():
    matrix = scipy.sparse.csr_matrix(np.eye(4))
    matrix.indices[0] = 1000
    with pytest.raises(InputError, match="expression_matrix: found no matrix of numbers"):
        validate_dataset(matrix, ["non-targeting"] * 4, list("abcd"))


@pytest.mark.parametrize("name", ["a\0", "\ud800", None, b"a", 7])
def test_names_that_no_file_of_edges_could_hold_are_refused(name):
    matrix = np.random.default_rng(0).poisson(2, (20, 3))
    with pytest.raises(InputError, match=r"gene_names: found .* for column 1; expected"):
        validate_dataset(matrix, ["non-targeting"] * 20, ["a", name, "b"])


@pytest.mark.guarantee("Input", "A warning names labels that match no gene.")
def test_labels_that_match_no_gene_are_told():
    matrix = np.random.default_rng(0).poisson(2, (20, 3))
    with pytest.warns(UserWarning, match="none of the 2 perturbed genes in interventions is in gene_names: 'myc'"):
        validate_dataset(matrix, ["non-targeting"] * 10 + ["tp53", "myc"] * 5, ["TP53", "MYC", "GATA1"])


def test_values_too_large_end_training_in_an_error_not_in_edges(data):
    config = quick(masked_weight=1e308)
    with pytest.raises(TrainingError, match="loss became"):
        infer_network(validate_dataset(*data), config)


TAKEN = {
    "log1p": lambda counts, totals: np.log1p(counts / totals * 300),
    "log2 of CPM": lambda counts, totals: np.log2(counts / totals * 1e6 + 1),
}
COUNTED = {
    "counts": lambda counts, totals: counts,
    "ambient-corrected": lambda counts, totals: np.maximum(counts - 0.01 * totals, 0),
    "halves": lambda counts, totals: counts / 2,
}
REFUSED = {
    "z-scores": lambda counts, totals: (counts - counts.mean(axis=0)) / counts.std(axis=0),
    "residuals": lambda counts, totals: (counts - totals / 6) / np.sqrt(totals),
}
KINDS_OF_VALUES = {**TAKEN, **COUNTED, **REFUSED}


@pytest.mark.guarantee(
    "Input",
    "A screen of any kind of values in any form gives the values of the clean screen, or an `InputError` of one line "
    "(100 generated screens).",
)
@cases(100)
@given(
    st.sampled_from([*KINDS_OF_VALUES]),
    st.sampled_from(["", *screens.FORMS]),
    st.sampled_from(["", "view"]),
    st.sampled_from([None, "expression", "raw"]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_screen_gives_the_clean_values_or_is_refused(kind, form, view, layer, counts, seed):
    rng = np.random.default_rng(seed)
    whole = rng.poisson(np.geomspace(0.5, 60, 6) * rng.lognormal(0, 0.5, (42, 1))) + np.eye(6).repeat(7, axis=0)
    values = KINDS_OF_VALUES[kind](whole, whole.sum(axis=1, keepdims=True)).astype(np.float32)
    targets = np.resize(["non-targeting", *"ABCDEF"], 42)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*matrix")
        how = f"{form} {view} {'layer' if layer == 'expression' else layer}"
        adata = screens.stored(screens.small(targets, "ABCDEF", values), how, None)
    if kind not in (COUNTED if counts else TAKEN):
        with pytest.raises(InputError, match=r"counts=True|negative values") as refusal:
            screens.read(adata, layer=layer, counts=counts)
        assert "\n" not in str(refusal.value)
        return
    totals = values.sum(axis=1, keepdims=True, dtype=np.float64)
    expected = np.log1p(values / totals * np.median(totals)) if counts else values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = screens.read(adata, layer=layer, counts=counts).expression
    np.testing.assert_allclose(found, expected, rtol=1e-5 if counts else 0)
