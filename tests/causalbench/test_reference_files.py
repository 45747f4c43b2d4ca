"""The reference networks against those that CausalBench itself reads, from files that hold all sorts of names."""

import gzip

import numpy as np
import pytest
from causalscbench.data_access import create_evaluation_datasets
from odd_references import GENES, OUTSIDE, SYMBOLS, write_links, write_names, write_odd_references

from catran_causalbench.causalbench import reference_files
from catran_causalbench.causalbench.build.file_formats import zip_bytes
from catran_causalbench.causalbench.dataset_spec import DATASET_NAMES
from catran_causalbench.causalbench.manifest import (
    CORUM,
    EXPRESSION_FILES,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
)
from catran_causalbench.causalbench.reference_files import NAMES, chipseq_file, read_networks
from catran_causalbench.errors import InputError

THEIRS = create_evaluation_datasets.CreateEvaluationDatasets


@pytest.fixture
def references(tmp_path, monkeypatch):
    """Return a directory of odd files, of which one stands for the ChIP-seq table of CausalBench."""
    write_odd_references(tmp_path)
    read_theirs = lambda *_: (tmp_path / "chipseq.csv").read_bytes()  # noqa: E731
    monkeypatch.setattr(create_evaluation_datasets.pkg_resources, "resource_string", read_theirs)
    monkeypatch.setattr(reference_files, "chipseq_file", lambda _: tmp_path / "chipseq.csv")
    return tmp_path


def named(network, genes=GENES):
    return {(genes[source], genes[target]) for source, target in zip(*np.nonzero(network), strict=True)}


def among(pairs, genes=GENES):
    """Return the pairs that an edge of a data set can be."""
    return {(a, b) for a, b in pairs if a in genes and b in genes and a != b}


@pytest.mark.guarantee(
    "Input",
    "The reference networks are those that CausalBench reads, whatever names and pairs their files hold.",
)
@pytest.mark.parametrize("seed", range(6))
def test_networks_are_causalbenchs(references, seed):
    write_odd_references(references, seed)
    theirs = dict(zip(NAMES, THEIRS(str(references), "weissmann_rpe1").load(), strict=True))
    ours = read_networks(references, "weissmann_rpe1", GENES)
    assert ours.ambiguous == []
    for name, pairs in theirs.items():
        assert named(ours.pairs[name]) == among(pairs), name
        assert among(pairs) != set(pairs), "pairs were left out"
        assert among(pairs)


def test_the_order_of_the_genes_is_that_of_the_matrix(references):
    one, other = (read_networks(references, "weissmann_rpe1", genes).pairs for genes in (GENES, GENES[::-1]))
    for name in NAMES:
        np.testing.assert_array_equal(one[name], other[name][::-1, ::-1])


@pytest.mark.parametrize("dataset_name", DATASET_NAMES)
def test_chipseq_is_that_of_the_cell_line(tmp_path, dataset_name):
    write_names(tmp_path / EXPRESSION_FILES[0], dict(zip(GENES, SYMBOLS, strict=True)), GENES)
    write_names(tmp_path / EXPRESSION_FILES[1], OUTSIDE, OUTSIDE)
    columns = {symbol: column for column, symbol in enumerate(SYMBOLS)}
    network = reference_files._read_pairs(chipseq_file(dataset_name), ",", ("source", "target"), columns, len(GENES))
    np.fill_diagonal(network, False)
    assert named(network) == among(THEIRS(str(tmp_path), dataset_name)._load_chipseq())
    assert 70 < network.sum() < 100


def test_blocks_of_links_join(references, monkeypatch):
    whole = read_networks(references, "weissmann_rpe1", GENES).pairs["string_network"]
    monkeypatch.setattr(reference_files, "_BLOCK", 64)
    np.testing.assert_array_equal(read_networks(references, "weissmann_rpe1", GENES).pairs["string_network"], whole)


def test_a_symbol_of_several_genes_is_that_of_a_perturbed_column(references):
    """CausalBench draws one of the genes at every start."""
    symbols, first, second = (
        {**dict(zip(GENES, SYMBOLS, strict=True)), **OUTSIDE},
        *map(references.joinpath, EXPRESSION_FILES),
    )
    write_names(first, symbols, GENES)
    write_names(second, OUTSIDE, OUTSIDE)
    expected = dict(zip(NAMES, THEIRS(str(references), "weissmann_rpe1").load(), strict=True))
    # One more gene that is not perturbed, one without a column, and one that comes later.
    write_names(first, {**symbols, "ENSG00-": SYMBOLS[0], "A-1": SYMBOLS[1]}, [*GENES, "A-1"])
    write_names(second, {**OUTSIDE, "ENSG30": SYMBOLS[2]}, [*OUTSIDE, "ENSG30"])
    ours = read_networks(references, "weissmann_rpe1", [*GENES, "ENSG30"])
    assert ours.ambiguous == SYMBOLS[:3]
    for name, pairs in expected.items():
        assert named(ours.pairs[name], [*GENES, "ENSG30"]) == among(pairs)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def remove(path):
    path.unlink()


def page(path):
    path.write_text("<html>Access denied</html>")


ALL = [*EXPRESSION_FILES, CORUM, LIGAND_RECEPTOR, STRING_NETWORK, STRING_PHYSICAL, STRING_PROTEINS]


@pytest.mark.parametrize(
    ("name", "damage"),
    # An incomplete table in plain text looks like a complete one.
    [(name, damage) for name in ALL for damage in (remove, page, cut) if (name, damage) != (LIGAND_RECEPTOR, cut)],
)
def test_damaged_files_are_refused_by_name(references, name, damage):
    damage(references / name)
    with pytest.raises(InputError, match=rf"{name}: found a file that cannot be read \(.*\); expected CausalBench's"):
        read_networks(references, "weissmann_rpe1", GENES)


def nameless_complex(directory):
    (directory / CORUM).write_bytes(zip_bytes({"table": b"ComplexID\tsubunits(Gene name)\n1\tAGO2;MYC\n2\t\n"}))


def nameless_protein(directory):
    write_links(directory / STRING_PHYSICAL, [["9606.P1", "9606.P2", 0, 1], ["9606.P1", "9606.P99", 0, 1]])


def longer_row(directory):
    text = b"protein1 protein2\n9606.P1 9606.P2 7\n"
    (directory / STRING_NETWORK).write_bytes(gzip.compress(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nameless_complex, r"corum.*: found 1 complexes without names of genes"),
        (nameless_protein, r"physical.*\(a link of a protein that protein\.info\.txt\.gz does not name\)"),
        (longer_row, r"links.*Expected 2 columns, got 3"),
    ],
)
def test_what_causalbench_fails_on_is_refused(references, change, message):
    change(references)
    with pytest.raises((AttributeError, KeyError, ValueError)):
        THEIRS(str(references), "weissmann_rpe1").load()
    with pytest.raises(InputError, match=message):
        read_networks(references, "weissmann_rpe1", GENES)
