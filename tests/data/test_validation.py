"""Bad input is refused in one sentence that names field, finding and expectation; good input becomes canonical."""

import numpy as np
import pytest
import scipy.sparse
from helpers import random_data

from catran_causalbench.data.dataset import CONTROL, EXCLUDED
from catran_causalbench.data.validation import validate_dataset, validate_in_place
from catran_causalbench.errors import InputError


def with_value(value):
    def change(matrix, labels, names):
        matrix[3, 2] = value
        return matrix, labels, names

    return change


def with_constant_gene(matrix, labels, names):
    matrix[:, 2] = 1.5
    return matrix, labels, names


BAD_INPUT = {
    "NaN": (with_value(np.nan), r"expression_matrix: found NaN in row 3, column 2; expected"),
    "infinity": (with_value(np.inf), r"expression_matrix: found infinity in row 3, column 2; expected"),
    "negative": (with_value(-1), r"expression_matrix: found a negative value in row 3, column 2; expected"),
    "too large": (
        lambda m, labels, n: (np.where(m == m.max(), 1e39, m.astype(float)), labels, n),
        r"found a value above 1e\+12 in row",
    ),
    "one dimension": (
        lambda m, labels, n: (m[0], labels, n),
        r"found shape \(12,\); expected cells × genes",
    ),
    "three dimensions": (lambda m, labels, n: (m[None], labels, n), r"found shape \(1, 600, 12\)"),
    "ragged rows": (lambda m, labels, n: ([[1.0], [1.0, 2.0]], labels, n), "found rows of different lengths"),
    "text": (lambda m, labels, n: (m.astype(str), labels, n), "found values of type <U32; expected real numbers"),
    "complex": (
        lambda m, labels, n: (m.astype(complex), labels, n),
        "found values of type complex128; expected real numbers",
    ),
    "transposed": (lambda m, labels, n: (m.T, labels, n), "gene_names: found 12 values; expected 600, one per column"),
    "no cells": (lambda m, labels, n: (m[:0], [], n), r"found shape \(0, 12\); expected .*at least 2"),
    "one gene": (
        lambda m, labels, n: (m[:, :1], labels, n[:1]),
        r"found shape \(600, 1\); expected .*at least 2",
    ),
    "constant gene": (with_constant_gene, "found the value 1.5 in every cell for gene 'gene.*'; expected genes that"),
    "short labels": (
        lambda m, labels, n: (m, labels[:-5], n),
        "interventions: found 595 values; expected 600, one per row",
    ),
    "missing label": (
        lambda m, labels, n: (m, [None, *labels[1:]], n),
        "interventions: found label None for cell 0; expected",
    ),
    "number as label": (
        lambda m, labels, n: (m, [*labels[:-1], 7], n),
        "interventions: found label 7 for cell 599; expected",
    ),
    "no controls": (
        lambda m, labels, n: (m, [n[0] if label == "non-targeting" else label for label in labels], n),
        "interventions: found no controls, only .*; expected some cells labelled 'non-targeting'",
    ),
    "all excluded": (
        lambda m, labels, n: (m, ["excluded"] * len(labels), n),
        r"found no controls, only 'excluded' \(600 cells\)",
    ),
    "duplicate gene": (
        lambda m, labels, n: (m, labels, [n[1], *n[1:]]),
        "gene_names: found 'gene.*' for 2 columns; expected distinct names, as adata.var_names_make_unique",
    ),
    "empty gene": (
        lambda m, labels, n: (m, labels, ["  ", *n[1:]]),
        "gene_names: found an empty name for column 0; expected",
    ),
    "reserved name": (
        lambda m, labels, n: (m, labels, ["excluded", *n[1:]]),
        "gene_names: found 'excluded', which is a label",
    ),
}


@pytest.mark.parametrize("validate", [validate_dataset, validate_in_place])
@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case, validate):
    change, message = BAD_INPUT[case]
    with pytest.raises(InputError, match=message) as refusal:
        validate(*change(*random_data()))
    assert "; expected " in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.uint16, np.int64])
def test_every_number_type_is_read(kind):
    matrix, labels, names = random_data()
    counts = np.expm1(matrix).round().astype(kind)
    dataset = validate_dataset(counts, labels, names)
    assert dataset.expression.dtype == np.float32
    assert dataset.expression.sum() == counts.astype(float).sum()


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "array"])
def test_sparse_equals_dense(form):
    matrix, labels, names = random_data()
    sparse = scipy.sparse.csr_array(matrix) if form == "array" else scipy.sparse.csr_matrix(matrix).asformat(form)
    np.testing.assert_array_equal(
        validate_dataset(sparse, labels, names).expression, validate_dataset(matrix, labels, names).expression
    )


def test_order_of_genes_and_cells_does_not_matter():
    matrix, labels, names = random_data()
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(len(matrix)), rng.permutation(len(names))
    one = validate_dataset(matrix, labels, names)
    other = validate_dataset(
        matrix[np.ix_(cells, genes)], [labels[cell] for cell in cells], [names[gene] for gene in genes]
    )
    assert one.gene_names == other.gene_names
    np.testing.assert_array_equal(one.expression, other.expression)
    np.testing.assert_array_equal(one.intervention, other.intervention)


def test_rows_keep_their_labels_and_columns_their_names():
    matrix, labels, names = random_data()
    dataset = validate_dataset(matrix, labels, names)
    original = {matrix[cell].tobytes(): labels[cell] for cell in range(len(matrix))}
    columns = [dataset.gene_names.index(name) for name in names]
    for row, code in zip(dataset.expression, dataset.intervention, strict=True):
        label = original[np.ascontiguousarray(row[columns]).tobytes()]
        assert code == {"non-targeting": CONTROL, "excluded": EXCLUDED}.get(label) or (
            dataset.gene_names[code] == label
        )


def test_a_gene_outside_the_matrix_makes_an_excluded_cell_not_a_control():
    matrix, labels, names = random_data()
    relabelled = ["unmeasured gene" if label == "excluded" else label for label in labels]
    dataset = validate_dataset(matrix, relabelled, names)
    assert (dataset.intervention == EXCLUDED).sum() == labels.count("excluded") > 0
    assert (dataset.intervention == CONTROL).sum() == labels.count("non-targeting")


def test_the_input_is_left_alone():
    matrix, labels, names = random_data()
    before = matrix.copy()
    validate_dataset(matrix, labels, names).expression[:] = 0
    np.testing.assert_array_equal(matrix, before)


def test_a_kind_of_perturbation_that_does_not_exist_is_refused(data):
    assert validate_dataset(*data, perturbation="activation").perturbation == "activation"
    with pytest.raises(InputError, match=r"^perturbation: found 'crispra'; expected one of knockdown, knockout, "):
        validate_dataset(*data, perturbation="crispra")
