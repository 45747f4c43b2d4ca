"""A user's own data: CausalBench's rule for columns, names, counts, and errors that say what to do."""

from pathlib import Path

import numpy as np
import pytest

from catran_causalbench.causalbench.build.from_screen import convert_screen, read_own_data
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

    def write(matrix=EXPRESSION, targets=TARGETS, genes=GENES, **var):
        obs = pandas.DataFrame({"gene": targets}, index=[f"cell{i}" for i in range(len(targets))])
        data = anndata.AnnData(matrix, obs=obs, var=pandas.DataFrame(var, index=pandas.Index(genes)))
        data.write_h5ad(tmp_path / "mine.h5ad")
        return tmp_path / "mine.h5ad"

    return write


def test_a_gene_needs_more_than_min_cells(npz):
    dataset = read_own_data(npz(), min_cells=20)
    assert list(dataset.gene_ids) == ["G1", "G2"]
    np.testing.assert_array_equal(dataset.expression, EXPRESSION[:, :2])
    expected = np.where(np.isin(TARGETS, ["G3", "GX"]), "excluded", TARGETS)
    np.testing.assert_array_equal(dataset.labels, expected)
    assert list(read_own_data(npz(), min_cells=19).gene_ids) == ["G1", "G2", "G3"]


def test_the_default_is_causalbenchs_rule(npz):
    targets = np.repeat(["G1", "G2", "G3", "non-targeting"], [100, 101, 101, 101])
    dataset = read_own_data(npz(expression_matrix=np.resize(EXPRESSION, (403, 4)), interventions=targets))
    assert list(dataset.gene_ids) == ["G2", "G3"]
    assert (dataset.labels == "excluded").sum() == 100


def test_h5ad_and_npz_say_the_same(npz, h5ad):
    sparse = pytest.importorskip("scipy.sparse")
    expected = read_own_data(npz(), min_cells=20)
    for matrix in (EXPRESSION, sparse.csr_matrix(EXPRESSION), sparse.csc_matrix(EXPRESSION)):
        found = read_own_data(h5ad(matrix), min_cells=20)
        np.testing.assert_array_equal(found.expression, expected.expression)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert list(found.gene_ids) == list(expected.gene_ids)


def test_an_h5ad_that_proves_damaged_says_so(h5ad, monkeypatch):
    def damaged(path):
        raise RuntimeError("Unable to synchronously open object")  # as h5py does

    path = h5ad()
    monkeypatch.setattr("anndata.read_h5ad", damaged)
    with pytest.raises(InputError, match=r"mine\.h5ad: found a file that anndata cannot read \(Unable"):
        read_own_data(path, min_cells=20)


def test_symbols_and_ids_are_matched_either_way(h5ad):
    ids = [f"ENSG{i}" for i in range(4)]
    symbols_as_targets = read_own_data(h5ad(genes=ids, gene_name=GENES), min_cells=20)
    assert list(symbols_as_targets.gene_ids) == ["ENSG0", "ENSG1"]
    assert list(symbols_as_targets.gene_names) == ["G1", "G2"]
    assert set(symbols_as_targets.labels.tolist()) == {"ENSG0", "ENSG1", "excluded", "non-targeting"}
    renamed = dict(zip(GENES, ids, strict=True))
    ids_as_targets = read_own_data(h5ad(targets=[renamed.get(t, t) for t in TARGETS], gene_ids=ids), min_cells=20)
    assert list(ids_as_targets.gene_ids) == ["G1", "G2"]
    np.testing.assert_array_equal(np.isin(ids_as_targets.labels, ["G1", "G2"]), np.isin(TARGETS, ["G1", "G2"]))


def test_another_control_label(npz):
    targets = np.where(TARGETS == "non-targeting", "NTC", TARGETS)
    dataset = read_own_data(npz(interventions=targets), min_cells=20, control="NTC")
    assert (dataset.labels == "non-targeting").sum() == 40


def test_combined_labels_mean_what_they_mean_to_fit(h5ad):
    spelled = {"G1": "G1+non-targeting", "G2": "G2+G2", "G3": "G1+G2", "non-targeting": "non-targeting+non-targeting"}
    dataset = read_own_data(h5ad(targets=[spelled.get(target, target) for target in TARGETS]), min_cells=20)
    assert {label: (dataset.labels == label).sum() for label in ("G1", "G2", "excluded", "non-targeting")} == {
        "G1": 21,
        "G2": 30,
        "excluded": 45,
        "non-targeting": 40,
    }


@pytest.mark.parametrize("names", [{}, {"gene_name": [None, "S2", "S3", "S4"]}])
def test_a_cell_without_target_is_excluded(h5ad, names):
    """Beside a gene without a symbol, too."""
    targets = [None if target == "GX" else target for target in TARGETS]
    dataset = read_own_data(h5ad(targets=targets, **names), min_cells=20)
    assert list(dataset.gene_names) == (["G1", "S2"] if names else ["G1", "G2"])
    assert (dataset.labels == "excluded").sum() == 45


def test_a_target_that_names_two_genes_is_refused(h5ad):
    path = h5ad(genes=["E1", "E2", "E3", "E4"], gene_name=["G1", "G2", "G3", "G1"])
    with pytest.raises(InputError, match=r"^perturbation_key: found 'G1', a name of E1 and E4; expected"):
        read_own_data(path, min_cells=20)
    shared_by_others = h5ad(genes=["E1", "E2", "E3", "E4"], gene_name=["G1", "G2", "G5", "G5"])
    assert list(read_own_data(shared_by_others, min_cells=20).gene_ids) == ["E1", "E2"]
    ids_go_first = h5ad(gene_name=["G1", "G2", "G3", "G1"])
    assert list(read_own_data(ids_go_first, min_cells=20).gene_ids) == ["G1", "G2"]


def test_too_few_excluded_cells_to_split_are_left_out(npz):
    targets = TARGETS.copy()
    targets[(targets == "GX") | (targets == "G3")] = "G1"
    targets[0] = "GX"
    dataset = read_own_data(npz(interventions=targets), min_cells=20)
    assert len(dataset.labels) == len(dataset.expression) == len(targets) - 1
    np.testing.assert_array_equal(dataset.expression, EXPRESSION[1:, :2])


def test_counts_are_normalised_as_causalbench_does(h5ad, tmp_path):
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    import anndata
    from causalscbench.data_access.utils import preprocessing

    counts = np.tile(COUNTS, (6, 1)).astype(np.float32)
    counts[5] = 0
    path = h5ad(counts, targets=np.tile(TARGETS, 6), gene_name=GENES)
    data = anndata.read_h5ad(path)
    data.obs["gene_id"] = data.obs["gene"]
    data.write_h5ad(tmp_path / "replogle.h5ad")
    expression, genes, labels = preprocessing.preprocess_dataset(tmp_path / "replogle.h5ad")
    dataset = read_own_data(path, counts=True)
    assert list(dataset.gene_ids) == genes == ["G1", "G2", "G3"]
    assert len(labels) == len(TARGETS) * 6 - 1
    assert dataset.labels.tolist() == labels
    np.testing.assert_allclose(dataset.expression, expression, rtol=1e-5)


def test_known_interactions_become_a_reference_network(npz, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text("source,target,score\nG1,G2,9\nG2,G1,8\nG1,G1,1\nG1,G4,3\n")
    folder = convert_screen(tmp_path / "out", npz(), min_cells=20, reference_network=table)
    assert find_metadata(folder)["references"]["string_network"] == 1
    assert find_metadata(folder)["simulated"] is False
    assert (folder / "README.txt").read_text().startswith("Data from mine.npz")


@pytest.mark.parametrize(
    ("origin", "headline"),
    [
        ({"origin": np.array("SIMULATED DATA – a test")}, "SIMULATED DATA – a test"),
        ({}, "SIMULATED DATA from mine.npz"),
    ],
)
def test_simulated_data_stay_marked(npz, tmp_path, origin, headline):
    path = npz(simulated=np.array(True), **origin)
    folder = convert_screen(tmp_path / "out", path, min_cells=20)
    assert find_metadata(folder)["simulated"] is True
    assert (folder / "README.txt").read_text(encoding="utf-8").startswith(headline)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"control": "NTC"}, "^control: found 0 cells of 'NTC'.*'non-targeting' \\(40\\)"),
        ({}, {"min_cells": 35}, r"^min_cells: found 0 measured genes .*the most: 30"),
        ({}, {"min_cells": 2}, "^min_cells: found 2; expected at least 4"),
        ({}, {"min_cells": 20, "counts": True}, "^counts: found fractions"),
        ({"expression_matrix": COUNTS}, {"min_cells": 20}, "^counts: found whole numbers only"),
        ({"expression_matrix": EXPRESSION[:, :3]}, {}, r"mine\.npz: found an expression_matrix"),
        ({"var_names": np.array("G1")}, {}, r"mine\.npz: found an expression_matrix .* and var_names of shape \(\)"),
        ({"var_names": np.array([GENES])}, {}, r"mine\.npz: found an expression_matrix"),
        ({"expression_matrix": np.where(EXPRESSION > 2, np.nan, EXPRESSION)}, {}, r"^mine\.npz: found NaN"),
        ({"interventions": TARGETS.astype(object)}, {}, r"mine\.npz: found what cannot be read \(Object arrays"),
    ],
)
def test_unusable_data_are_refused_before_anything_is_written(npz, tmp_path, changes, arguments, message):
    path = npz(**changes)
    with pytest.raises(InputError, match=message):
        convert_screen(tmp_path / "out", path, **arguments)
    assert not (tmp_path / "out").exists()


def damaged(path):
    """Turn bits of the first array of a compressed .npz."""
    arrays = dict(np.load(path))
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[80:110] = bytes(255 - byte for byte in content[80:110])
    path.write_bytes(content)
    return path


def test_unreadable_files_are_refused(tmp_path, npz, h5ad):
    damaged(npz())
    (tmp_path / "broken.npz").write_text("no archive")
    np.save(tmp_path / "array", EXPRESSION)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "broken.h5ad").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name, message in {
        "absent.npz": "^source_file: found no file",
        "table.csv": "^source_file: found 'table.csv'; expected a file that ends in",
        "broken.npz": r"broken\.npz: found what cannot be read",
        "mine.npz": r"mine\.npz: found what cannot be read \(Error -3",
        "array.npz": r"array\.npz: found what cannot be read",
        "broken.h5ad": r"^broken\.h5ad: found a file that anndata cannot read",
        "other.npz": r"other\.npz: found .*expression_matrix is not .*; expected an .npz with expression_matrix, var",
    }.items():
        with pytest.raises(InputError, match=message):
            read_own_data(tmp_path / name)
    with pytest.raises(InputError, match=r"^perturbation_key: found no 'guide' in obs; expected one of gene"):
        read_own_data(h5ad(), perturbation_key="guide")
    with pytest.raises(InputError, match=r"^mine\.h5ad: found no X"):
        read_own_data(h5ad(None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\nG1,G2\n", "without columns"),
        ("source,target\nG1,TP53\n", "no pair of the matrix's genes in 1 rows"),
        (f"source,target\nG1,{'x' * 2**18}\n", "which cannot be read .field larger than field limit"),
    ],
)
def test_unusable_interactions_are_refused(npz, tmp_path, text, message):
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        convert_screen(tmp_path / "out", npz(), min_cells=20, reference_network=tmp_path / "known.csv")


def test_values_need_not_be_those_of_counts(npz):
    """Intensities of a flow cytometer may be negative after compensation, and far above any count's logarithm."""
    intensities = EXPRESSION * 1e4 - 500.5
    dataset = read_own_data(npz(expression_matrix=intensities), min_cells=20)
    np.testing.assert_array_equal(dataset.expression, intensities[:, :2])


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
    folder = convert_screen(tmp_path / name, path)
    with np.load(path) as source, np.load(folder / "dataset_k562.npz") as written:
        columns = np.isin(source["var_names"], written["var_names"])
        np.testing.assert_array_equal(written["expression_matrix"], source["expression_matrix"][:, columns])
        np.testing.assert_array_equal(written["interventions"], source["interventions"])
    assert find_metadata(folder)["shape"]["genes"] == genes
    assert find_metadata(folder)["shape"]["controls"] == controls


@pytest.mark.parametrize("name", ["schraivogel2020_tapseq_k562_crispri", "dixit2016_bmdc_24tf", "sachs2005_all14"])
def test_measured_data_sets_can_be_learned_from_and_scored(tmp_path, name):
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    path = MEASURED / f"{name}.npz"
    if not path.exists():
        pytest.skip("the measured data sets are not part of the repository")
    from catran_causalbench.baselines import rival_edges
    from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
    from catran_causalbench.causalbench.dataset_spec import DatasetSpec

    data = BenchmarkDataset.read(convert_screen(tmp_path / name, path), DatasetSpec())
    dataset = data.training_set("interventional", 1.0, 0)
    with np.load(path) as source:
        matrix, genes, targets = (source[key] for key in ("expression_matrix", "var_names", "interventions"))
    assert set(np.unique(targets)) - {"non-targeting"} == set(dataset.gene_names)
    assert dataset.num_cells == pytest.approx(0.8 * len(targets), abs=1)
    # The largest shift of all cells' means, found without the package, is found in the training cells too.
    columns = [list(genes).index(gene) for gene in dataset.gene_names]
    control = matrix[targets == "non-targeting"][:, columns].mean(axis=0)
    means = np.array([matrix[targets == gene][:, columns].mean(axis=0) for gene in dataset.gene_names])
    shifts = np.abs(means - control) * ~np.eye(len(columns), dtype=bool)
    source_gene, target_gene = np.unravel_index(shifts.argmax(), shifts.shape)
    found = rival_edges("mean_difference", dataset, 3, 0).table(dataset.gene_names)
    pairs = set(zip(found["source"], found["target"], strict=True))
    assert (dataset.gene_names[source_gene], dataset.gene_names[target_gene]) in pairs
