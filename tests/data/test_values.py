"""What the values of a screen are: each kind is recognised, and each message names the option that cures it."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from screens import read, stored

from catran_causalbench import InputError, fit
from catran_causalbench.causalbench.build.from_screen import convert_screen
from catran_causalbench.data.matrix_blocks import read_columns

GENES = [f"G{number:02d}" for number in range(24)]
TARGETS = np.repeat(["non-targeting", *GENES[:6]], 40)


def sample_counts():
    """Counts of cells of different depth, with expression from a hundredth to forty molecules, and knock-downs."""
    rng = np.random.default_rng(0)
    means = np.geomspace(0.01, 40, len(GENES))[rng.permutation(len(GENES))]
    means[:6] = np.geomspace(0.5, 3, 6)
    depth = rng.lognormal(0, 0.4, (len(TARGETS), 1))
    knocked_down = np.array([[0.2 if gene == target else 1 for gene in GENES] for target in TARGETS])
    return rng.poisson(means * depth * knocked_down).astype(np.float64)


COUNTS = sample_counts()
TOTALS = COUNTS.sum(axis=1, keepdims=True)
MEDIAN = np.median(TOTALS)
LOGGED = np.log1p(COUNTS / TOTALS * MEDIAN)
Z_SCORES = (LOGGED - LOGGED.mean(axis=0)) / LOGGED.std(axis=0)
EXPECTED_COUNTS = TOTALS * COUNTS.sum(axis=0) / COUNTS.sum()
PEARSON = (COUNTS - EXPECTED_COUNTS) / np.sqrt(EXPECTED_COUNTS + EXPECTED_COUNTS**2 / 100)
AMBIENT = np.maximum(COUNTS - 0.07 * EXPECTED_COUNTS, 0)  # as SoupX corrects
RNG = np.random.default_rng(1)
SHARED = np.where(RNG.random(COUNTS.shape) < 0.1, RNG.choice([0.5, 1 / 3, 0.7123], COUNTS.shape), 0)  # as alevin counts


def screen(matrix, layers=None, genes=GENES, **columns):
    obs = pd.DataFrame({"target_gene": TARGETS}, index=[f"cell{number}" for number in range(len(TARGETS))])
    matrix = None if matrix is None else matrix if sparse.issparse(matrix) else np.asarray(matrix, np.float32)
    return anndata.AnnData(matrix, obs, pd.DataFrame(columns, index=list(genes)), layers=layers)


def expression(adata, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(adata, genes=GENES[:6], **options).expression


# Values that are taken as they are


ACCEPTED = {
    "log1p of counts scaled to their median": LOGGED,
    "log1p of CP10k": np.log1p(COUNTS / TOTALS * 1e4),
    "log1p of CPM": np.log1p(COUNTS / TOTALS * 1e6),
    "log2 of CPM": np.log2(COUNTS / TOTALS * 1e6 + 1),
    "log2 of Bioconductor": np.log2(COUNTS / TOTALS * MEDIAN + 1),
    "log10 of CP10k": np.log10(COUNTS / TOTALS * 1e4 + 1),
    "log1p of counts": np.log1p(COUNTS),
    "log2 of counts": np.log2(COUNTS + 1),
    "log1p of ambient-corrected counts": np.log1p(AMBIENT / AMBIENT.sum(axis=1, keepdims=True) * MEDIAN),
    "square roots": np.sqrt(COUNTS / TOTALS * MEDIAN),
    "Freeman-Tukey": np.sqrt(COUNTS) + np.sqrt(COUNTS + 1),
    "inverse hyperbolic sine": np.arcsinh(COUNTS / 5),
    "rounded to two decimals": LOGGED.round(2),
    "log10 rounded to one decimal": np.log10(COUNTS / TOTALS * 300 + 1).round(1),
    "scaled to 1": LOGGED / LOGGED.max(axis=0),
    "float16": LOGGED.astype(np.float16),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_transformed_values_are_taken_as_they_are(name):
    values = ACCEPTED[name].astype(np.float32)
    np.testing.assert_array_equal(expression(screen(values)), values[:, :6])


# Values that are not logged


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (COUNTS / TOTALS * 1e6, r"values up to \d{6}"),
        (COUNTS / TOTALS * 1e4, r"values up to \d{4}"),
        (COUNTS / TOTALS, "the total 1 in every cell"),
        (AMBIENT, r"values up to \d+\.\d"),
        (COUNTS + SHARED, r"values up to \d{2}"),
    ],
    ids=["CPM", "CP10k", "proportions", "ambient-corrected", "alevin"],
)
@pytest.mark.guarantee(
    "Input",
    "Values that are scaled, not logged, or would be logged twice are refused by `fit` and `convert`, and the message "
    "names the option that cures it. log1p, log2, square roots and the like are taken as they are.",
)
def test_values_that_are_not_logged_are_recognised_and_counts_cures_it(values, found):
    adata = screen(values)
    with pytest.raises(InputError, match=rf"^counts: found {found}.*, so no logarithms; .*counts=True"):
        expression(adata)
    totals = values.sum(axis=1, keepdims=True)
    scale = 1e4 if np.ptp(totals) < 1e-6 * totals.max() else np.median(totals)
    expected = np.log1p(values / totals * scale)[:, :6]
    np.testing.assert_allclose(expression(adata, counts=True), expected, rtol=1e-5)


def test_normalised_counts_are_recognised_where_all_values_are_low():
    """In a file of a few genes no value may be large, and the totals differ."""
    low = np.flatnonzero((COUNTS / TOTALS * MEDIAN).max(axis=0) < 30)
    values = (COUNTS / TOTALS * MEDIAN)[:, low]
    assert 10 < values.max() < 30
    adata = screen(values, genes=[GENES[column] for column in low])
    with pytest.raises(InputError, match="values that are multiples of one number in each cell, so no logarithms"):
        expression(adata)
    assert expression(adata, counts=True).max() < 5
    logged = np.log1p(values).astype(np.float32)
    np.testing.assert_array_equal(expression(screen(logged, genes=adata.var_names)), logged[:, :6])


def test_preprocessing_that_starts_from_counts_cannot_start_from_cpm():
    assert expression(screen(COUNTS), allow_counts=True).max() > 10
    assert expression(screen(LOGGED), allow_counts=True).max() < 10
    with pytest.raises(InputError, match="so no logarithms"):
        expression(screen(COUNTS / TOTALS * 1e6), allow_counts=True)


# Counts that were asked for


@pytest.mark.parametrize("name", [*[*ACCEPTED][:5], "log1p of counts", "log2 of counts"])
def test_a_logarithm_is_not_taken_twice(name):
    message = r"^counts: found values that are log-normalised already; expected no counts=True"
    with pytest.raises(InputError, match=message):
        expression(screen(ACCEPTED[name]), counts=True)


def test_a_logarithm_is_recognised_where_most_cells_express_one_or_two_genes():
    rare = np.flatnonzero(COUNTS.mean(axis=0) < 1)
    with pytest.raises(InputError, match="log-normalised already"):
        read(screen(LOGGED[:, rare], genes=[GENES[column] for column in rare]), genes="all", counts=True)


def test_low_fractions_are_taken_as_counts_with_a_word():
    values = AMBIENT.clip(max=20)
    with pytest.warns(
        UserWarning, match=r"fractions of at most 20 and are taken as counts; if they are logged"
    ) as warned:
        found = read(screen(values), counts=True, genes=GENES[:6]).expression
    totals = values.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.log1p(values / totals * np.median(totals))[:, :6], rtol=1e-5)
    assert len(warned) == 1


@pytest.mark.guarantee("Input", "Totals of cells are summed in float64, whatever the type of the matrix.")
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "i8", "u2", "f2", "f4", ">f4", "g"])
def test_totals_are_exact_whatever_the_type(form, dtype):
    largest = {"u1": 255, "i1": 127, "u2": 2**16 - 1, "f2": 2048}.get(dtype, 2**24)  # of those that it holds exactly
    counts = np.hstack([COUNTS, np.full((len(COUNTS), 40), largest)]).clip(max=largest)
    matrix = form(counts)
    if form is np.asarray:
        matrix = matrix.astype(dtype)
    else:
        matrix.data = matrix.data.astype(dtype)
    columns = read_columns(matrix, np.arange(24))
    np.testing.assert_array_equal(columns.totals, counts.sum(axis=1))
    np.testing.assert_array_equal(columns.values, counts[:, :24])
    assert (columns.lowest, columns.highest) == (0, largest)


def test_counts_in_float16_are_normalised_as_in_float64():
    counts = np.hstack([COUNTS, np.full((len(COUNTS), 40), 2048)])
    names = [*GENES, *(f"other{number}" for number in range(40))]
    matrix = counts.astype(np.float16)
    with np.errstate(over="ignore"):
        assert np.isinf(matrix.sum(axis=1)).all()
    adata = screen(None, genes=names)
    adata.layers["counts"] = matrix
    totals = counts.sum(axis=1, keepdims=True)
    expected = np.log1p(counts / totals * np.median(totals))[:, :6]
    np.testing.assert_allclose(expression(adata, layer="counts", counts=True), expected, rtol=1e-5)


# Scaled values, layers and .raw


@pytest.mark.parametrize("values", [Z_SCORES, Z_SCORES.clip(-1, 10), PEARSON], ids=["z-scores", "clipped", "residuals"])
@pytest.mark.parametrize("counts", [False, True])
def test_scaled_values_are_recognised_and_other_layers_named(values, counts):
    lowest = rf"down to {values.astype(np.float32).min():.3g}\), as scaling, residuals or batch correction"
    with pytest.raises(InputError, match=rf"^layer: found negative values \({lowest}.*; there are no layers"):
        expression(screen(values), counts=counts)
    layers = {"counts": sparse.csr_matrix(COUNTS), "residuals": PEARSON, "CPM": COUNTS / TOTALS * 1e6}
    adata = screen(values, layers)
    adata.raw = screen(LOGGED)
    adata.layers["soup"] = sparse.csc_matrix(np.log1p(AMBIENT / 100))
    described = (
        r"one of 'counts' \(counts, with counts=True\), 'residuals' \(scaled values\), "
        r"'CPM' \(values without a logarithm, with counts=True\), "
        r"'soup' \(values that may be log-normalised\), 'raw' \(log-normalised values\)$"
    )
    with pytest.raises(InputError, match=described):
        expression(adata, counts=counts)
    adata.layers["names"] = np.full(adata.shape, "text", dtype=object)
    with pytest.raises(InputError, match=r"'names' \(no numbers\)"):
        expression(adata, counts=counts)
    with pytest.raises(InputError, match=r"^layer: .*expected one of X \(scaled values\), 'counts' \(counts"):
        expression(adata, counts=counts, layer="residuals")


def test_negative_values_of_other_genes_spoil_totals_only():
    values = LOGGED.copy()
    values[:, 20] -= 9
    np.testing.assert_array_equal(expression(screen(values)), values[:, :6].astype(np.float32))
    counts = COUNTS.copy()
    counts[3, 20] = -1
    with pytest.raises(InputError, match=r"^layer: found negative values \(down to -1\)"):
        expression(screen(counts), counts=True)


@pytest.mark.parametrize("how", ["memory", "view", "file", "zarr", "backed"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_raw_is_read_with_its_own_genes(how, form, tmp_path):
    """After scanpy's usual steps X holds the scaled values of variable genes, and .raw the logged ones of all."""
    shuffled = np.random.default_rng(3).permutation(len(GENES))
    adata = screen(Z_SCORES[:, 4:9], genes=GENES[4:9])
    adata.raw = screen(form(LOGGED[:, shuffled].astype(np.float32)), genes=[GENES[column] for column in shuffled])
    found = read(stored(adata, how, tmp_path), layer="raw")
    expected = read(screen(LOGGED))
    assert sorted(found.gene_ids) == expected.gene_ids == GENES[:6]
    np.testing.assert_array_equal(found.dataset().expression, expected.dataset().expression)


def test_names_of_genes_that_only_x_has_serve_raw_too():
    ids = [f"ENSG{number}" for number in range(len(GENES))]
    adata = screen(Z_SCORES[:, :12], genes=ids[:12], gene_name=GENES[:12])
    adata.raw = screen(LOGGED, genes=ids)
    found = read(adata, layer="raw")
    assert (found.gene_ids, found.gene_symbols) == (ids[:6], GENES[:6])


def test_a_layer_called_raw_goes_before_the_attribute():
    adata = screen(Z_SCORES, {"raw": LOGGED.astype(np.float32)})
    adata.raw = screen(COUNTS)
    np.testing.assert_array_equal(expression(adata, layer="raw"), LOGGED[:, :6].astype(np.float32))


@pytest.mark.parametrize("how", ["memory", "file", "zarr"])
def test_without_x_the_layers_are_named(how, tmp_path):
    adata = screen(None, {"counts": sparse.csr_matrix(COUNTS), "scaled": Z_SCORES})
    adata.raw = screen(LOGGED)
    expected = r"'counts' \(counts, with counts=True\), 'scaled' \(scaled values\), 'raw' \(log-normalised values\)$"
    with pytest.raises(InputError, match=rf"^layer: found no X; expected one of {expected}"):
        read(stored(adata, how, tmp_path))
    with pytest.raises(InputError, match=rf"^layer: found no 'spliced'; expected one of {expected}"):
        read(adata, layer="spliced")
    with pytest.raises(InputError, match=r"^layer: found no 'raw'; expected one of X \(log-normalised values\)$"):
        read(screen(LOGGED), layer="raw")


# In fit and convert alike


def edges(data, **options):
    network = fit(data, perturbation_key="target_gene", min_cells=20, method="mean_difference", **options)
    return network.edges(25)


def converted(data, directory, **options):
    data.write_h5ad(directory / "screen.h5ad")
    made = convert_screen(
        directory / "made",
        directory / "screen.h5ad",
        perturbation_key="target_gene",
        min_cells=20,
        overwrite=True,
        **options,
    )
    with np.load(made / "dataset_k562.npz") as written:
        return written["expression_matrix"]


@pytest.mark.parametrize(
    ("adata", "options", "clean"),
    [
        (screen(COUNTS), {"counts": True}, LOGGED),
        (screen(COUNTS / TOTALS * 1e6), {"counts": True}, np.log1p(COUNTS / TOTALS * 1e4)),
        (screen(Z_SCORES, {"counts": COUNTS}), {"layer": "counts", "counts": True}, LOGGED),
        (screen(None, {"log": LOGGED}), {"layer": "log"}, LOGGED),
    ],
    ids=["counts", "CPM", "scaled", "no X"],
)
def test_once_cured_edges_and_directories_are_those_of_the_clean_file(adata, options, clean, tmp_path):
    with pytest.raises(InputError) as refused:
        edges(adata)
    with pytest.raises(InputError) as refused_too:
        converted(adata, tmp_path)
    assert str(refused.value) == str(refused_too.value)
    found, expected = edges(adata, **options), edges(screen(clean))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    np.testing.assert_allclose(converted(adata, tmp_path, **options), clean[:, :6], rtol=1e-5)
