"""A user's screen as a benchmark directory: the choice of genes, the reference network, and invalid input."""

from pathlib import Path

import numpy as np
import pytest

from catran_causalbench.causalbench.build.from_screen import convert_screen
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.errors import InputError

MEASURED = Path(__file__).resolve().parents[4] / "shared" / "data"
GENES = ["G1", "G2", "G3", "G4"]
# G1 and G2 pass a rule of more than 20, G3 misses it by one cell, G4 is never perturbed, GX is not measured.
CELLS_OF = {"G1": 21, "G2": 30, "G3": 20, "GX": 25, "non-targeting": 40}
TARGETS = np.repeat(list(CELLS_OF), list(CELLS_OF.values()))
COUNTS = np.random.default_rng(0).poisson([2.0, 5.0, 0.5, 8.0], (len(TARGETS), 4)) + np.array([0, 0, 0, 1])
EXPRESSION = np.log1p(COUNTS).astype(np.float32)


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        arrays = {"expression_matrix": EXPRESSION, "var_names": np.array(GENES), "interventions": TARGETS, **changes}
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


@pytest.fixture
def h5ad(tmp_path):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")

    def write(matrix=EXPRESSION, targets=TARGETS, genes=GENES, layers=None, **var):
        obs = pandas.DataFrame({"gene": targets}, index=[f"cell{i}" for i in range(len(targets))])
        var = pandas.DataFrame(var, index=pandas.Index(genes))
        anndata.AnnData(matrix, obs=obs, var=var, layers=layers).write_h5ad(tmp_path / "mine.h5ad")
        return tmp_path / "mine.h5ad"

    return write


@pytest.fixture
def converted(tmp_path):
    """Convert a screen and read the matrix, the genes' ids and the labels that the directory holds."""

    def convert(source, **options):
        directory = convert_screen(tmp_path / "out", source, overwrite=True, **options)
        with np.load(directory / "dataset_k562.npz") as written:
            return tuple(written[name] for name in ("expression_matrix", "var_names", "interventions"))

    return convert


def test_a_gene_needs_more_than_min_cells(npz, converted):
    expression, genes, labels = converted(npz(), min_cells=20)
    assert genes.tolist() == ["G1", "G2"]
    np.testing.assert_array_equal(expression, EXPRESSION[:, :2])
    np.testing.assert_array_equal(labels, np.where(np.isin(TARGETS, ["G3", "GX"]), "excluded", TARGETS))
    assert converted(npz(), min_cells=19)[1].tolist() == ["G1", "G2", "G3"]


def test_the_default_is_causalbenchs_rule(npz, converted):
    targets = np.repeat(["G1", "G2", "G3", "non-targeting"], [100, 101, 101, 101])
    _, genes, labels = converted(npz(expression_matrix=np.resize(EXPRESSION, (403, 4)), interventions=targets))
    assert genes.tolist() == ["G2", "G3"]
    assert (labels == "excluded").sum() == 100


def test_h5ad_and_npz_give_the_same_cells(npz, h5ad, converted):
    sparse = pytest.importorskip("scipy.sparse")
    expected = converted(npz(), min_cells=20)
    for matrix in (EXPRESSION, sparse.csr_matrix(EXPRESSION), sparse.csc_matrix(EXPRESSION)):
        for found, wanted in zip(converted(h5ad(matrix), min_cells=20), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_a_zarr_store_is_converted_as_an_h5ad_is(h5ad, converted, tmp_path):
    anndata = pytest.importorskip("anndata")
    path = h5ad()
    anndata.read_h5ad(path).write_zarr(tmp_path / "mine.zarr")
    expected = converted(path, min_cells=20)
    for found, wanted in zip(converted(tmp_path / "mine.zarr", min_cells=20), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_genes_keep_their_ids_and_symbols(h5ad, converted, tmp_path):
    anndata = pytest.importorskip("anndata")
    _, genes, labels = converted(h5ad(genes=["E1", "E2", "E3", "E4"], gene_name=GENES), min_cells=20)
    assert genes.tolist() == ["E1", "E2"]
    assert set(labels.tolist()) == {"E1", "E2", "excluded", "non-targeting"}
    var = anndata.read_h5ad(tmp_path / "out" / "k562.h5ad").var
    assert dict(zip(var.index, var["gene_name"], strict=True)) == {"E1": "G1", "E2": "G2"}


def test_options_are_those_of_fit(h5ad, converted, tmp_path):
    targets = np.where(TARGETS == "non-targeting", "NTC", TARGETS)
    path = h5ad(np.zeros_like(EXPRESSION), targets=targets, layers={"log": EXPRESSION})
    expression, genes, labels = converted(path, control="NTC", layer="log", genes=["G3", "G1"], min_cells=20)
    assert genes.tolist() == ["G1", "G3"]
    np.testing.assert_array_equal(expression, EXPRESSION[:, [0, 2]])
    assert (labels == "non-targeting").sum() == 40
    assert (labels == "excluded").sum() == 55
    written = find_metadata(tmp_path / "out")
    assert (written["control"], written["layer"], written["genes"]) == ("NTC", "log", ["G3", "G1"])


def test_a_gene_without_cells_cannot_be_a_column(npz, converted):
    with pytest.raises(InputError, match=r"^labels: found 0 cells of 'G4'"):
        converted(npz(), genes="all", min_cells=20)


def test_excluded_cells_that_are_too_few_to_split_are_left_out(npz, converted):
    targets = TARGETS.copy()
    targets[(targets == "GX") | (targets == "G3")] = "G1"
    targets[0] = "GX"
    expression, _, labels = converted(npz(interventions=targets), min_cells=20)
    np.testing.assert_array_equal(labels, targets[1:])
    np.testing.assert_array_equal(expression, EXPRESSION[1:, :2])


def test_counts_are_normalised_as_causalbench_does(h5ad, converted, tmp_path):
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    import anndata
    from causalscbench.data_access.utils import preprocessing

    counts = np.tile(COUNTS, (6, 1)).astype(np.float32)
    counts[5] = 0
    path = h5ad(counts, targets=np.tile(TARGETS, 6), gene_name=GENES)
    data = anndata.read_h5ad(path)
    data.obs["gene_id"] = data.obs["gene"]
    data.write_h5ad(tmp_path / "replogle.h5ad")
    expected, genes, labels = preprocessing.preprocess_dataset(tmp_path / "replogle.h5ad")
    found = converted(path, counts=True)
    assert found[1].tolist() == genes == ["G1", "G2", "G3"]
    assert len(labels) == len(TARGETS) * 6 - 1
    assert found[2].tolist() == labels
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_known_interactions_become_a_reference_network(npz, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text("source,target,score\nG1,G2,9\nG2,G1,8\nG1,G1,1\nG1,G4,3\n")
    directory = convert_screen(tmp_path / "out", npz(), min_cells=20, reference_network=table)
    assert find_metadata(directory)["references"]["string_network"] == 1
    assert find_metadata(directory)["simulated"] is False
    assert (directory / "README.txt").read_text().startswith("Data from mine.npz")


@pytest.mark.parametrize(
    ("origin", "title"),
    [
        ({"origin": np.array("SIMULATED DATA – a test")}, "SIMULATED DATA – a test"),
        ({}, "SIMULATED DATA from mine.npz"),
    ],
)
def test_simulated_data_stay_marked(npz, tmp_path, origin, title):
    path = npz(simulated=np.array(True), **origin)
    directory = convert_screen(tmp_path / "out", path, min_cells=20)
    assert find_metadata(directory)["simulated"] is True
    assert (directory / "README.txt").read_text(encoding="utf-8").startswith(title)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"control": "NTC"}, "^control: found no cell labelled 'NTC'.*'non-targeting' \\(40\\)"),
        ({}, {"control": "G3", "min_cells": 20}, "^control: found 20 cells labelled 'G3'; expected more than 20"),
        ({}, {"min_cells": 35}, r"^min_cells: found 0 measured genes .*the most: 30"),
        ({}, {"min_cells": 2}, "^min_cells: found 2; expected at least 4"),
        ({}, {"min_cells": 20, "counts": True}, "^counts: found values that are log-normalised already"),
        ({"expression_matrix": COUNTS}, {"min_cells": 20}, "^counts: found whole numbers only"),
        ({"expression_matrix": EXPRESSION[:, :3]}, {}, r"^data: found mine\.npz with an expression_matrix"),
        ({"expression_matrix": np.where(EXPRESSION > 2, np.nan, EXPRESSION)}, {"min_cells": 20}, "found NaN"),
    ],
)
def test_unusable_data_are_refused_before_anything_is_written(npz, tmp_path, changes, arguments, message):
    path = npz(**changes)
    with pytest.raises(InputError, match=message):
        convert_screen(tmp_path / "out", path, **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\nG1,G2\n", "columns a, b; expected columns source, target"),
        ("source,target\nG1,TP53\n", "no pair of the matrix's genes in 1 rows"),
        ("source,target\nG1,G2\nG1,G2,G3\n", "no readable table in known.csv"),
    ],
)
def test_unusable_interactions_are_refused(npz, tmp_path, text, message):
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        convert_screen(tmp_path / "out", npz(), min_cells=20, reference_network=tmp_path / "known.csv")


def test_intensities_are_taken_once_they_are_logged(npz, converted):
    """A flow cytometer's are far above any count's logarithm, and may be negative after compensation."""
    intensities = np.random.default_rng(1).gamma(2, 4e3, EXPRESSION.shape).astype(np.float32)
    with pytest.raises(InputError, match=r"^counts: found values up to \d{5}.*, so no logarithms; .*take log1p"):
        converted(npz(expression_matrix=intensities), min_cells=20)
    with pytest.raises(InputError, match=r"^layer: found negative values .*down to -\d"):
        converted(npz(expression_matrix=intensities - 500), min_cells=20)
    expression, _, _ = converted(npz(expression_matrix=np.log1p(intensities)), min_cells=20)
    np.testing.assert_array_equal(expression, np.log1p(intensities)[:, :2])


@pytest.mark.parametrize(
    ("name", "genes", "controls"),
    [
        ("schraivogel2020_tapseq_k562_crispri", 14, 7_750),
        ("dixit2016_bmdc_24tf", 8, 992),
        ("sachs2005_all14", 6, 1_755),
    ],
)
def test_measured_data_sets(tmp_path, name, genes, controls):
    path = MEASURED / f"{name}.npz"
    if not path.exists():
        pytest.skip("the measured data sets are not part of the repository")
    directory = convert_screen(tmp_path / name, path)
    with np.load(path) as source, np.load(directory / "dataset_k562.npz") as written:
        columns = np.isin(source["var_names"], written["var_names"])
        np.testing.assert_array_equal(written["expression_matrix"], source["expression_matrix"][:, columns])
        np.testing.assert_array_equal(written["interventions"], source["interventions"])
    assert find_metadata(directory)["shape"]["genes"] == genes
    assert find_metadata(directory)["shape"]["controls"] == controls


@pytest.mark.parametrize("name", ["schraivogel2020_tapseq_k562_crispri", "dixit2016_bmdc_24tf", "sachs2005_all14"])
def test_measured_data_sets_can_be_trained_on(tmp_path, name):
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    path = MEASURED / f"{name}.npz"
    if not path.exists():
        pytest.skip("the measured data sets are not part of the repository")
    from catran_causalbench import CatranConfig, infer_network
    from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
    from catran_causalbench.causalbench.dataset_spec import DatasetSpec

    data = BenchmarkDataset.read(convert_screen(tmp_path / name, path), DatasetSpec())
    dataset = data.training_set("interventional", 1.0, 0)
    with np.load(path) as source:
        matrix, genes, targets = (source[key] for key in ("expression_matrix", "var_names", "interventions"))
    assert set(np.unique(targets)) - {"non-targeting"} == set(dataset.gene_names)
    assert dataset.num_cells == pytest.approx(0.8 * len(targets), abs=1)
    # The largest effect, computed here from all cells, is found in the training cells too.
    columns = [list(genes).index(gene) for gene in dataset.gene_names]
    control = matrix[targets == "non-targeting"][:, columns].mean(axis=0)
    means = np.array([matrix[targets == gene][:, columns].mean(axis=0) for gene in dataset.gene_names])
    effects = np.abs(means - control) * ~np.eye(len(columns), dtype=bool)
    source_gene, target_gene = np.unravel_index(effects.argmax(), effects.shape)
    found = infer_network(dataset, CatranConfig(), method="mean_difference").edges(3)
    pairs = set(zip(found["source"], found["target"], strict=True))
    assert (dataset.gene_names[source_gene], dataset.gene_names[target_gene]) in pairs
