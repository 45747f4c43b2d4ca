"""The links that are left out are those of which CausalBench makes nothing."""

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from causalscbench.data_access.create_evaluation_datasets import CreateEvaluationDatasets

from catran_causalbench.causalbench.manifest import (
    EXPRESSION_FILES,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
)
from catran_causalbench.causalbench.prepare.directory import prepare_directory
from catran_causalbench.causalbench.prepare.string_links import dropped_proteins, write_links
from catran_causalbench.errors import InputError


@pytest.fixture
def theirs(prepared, tmp_path):
    """Links between all of STRING's proteins: of genes that are perturbed, measured, both, neither, and of no gene."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    for name in EXPRESSION_FILES:
        (directory / name).symlink_to(prepared / name)
    symbols = [f"GENE{number:03d}" for number in range(0, 80)] + ["ELSEWHERE", "NA"]
    proteins = [f"9606.ENSP{number:03d}" for number in range(len(symbols))]
    names = pd.DataFrame({"#string_protein_id": proteins, "preferred_name": symbols, "annotation": "none"})
    names.to_csv(directory / STRING_PROTEINS, sep="\t", index=False)
    rng = np.random.default_rng(0)
    for name, columns in ((STRING_NETWORK, ["coexpression", "combined_score"]), (STRING_PHYSICAL, [])):
        links = pd.DataFrame(rng.choice(proteins, (3000, 2)), columns=["protein1", "protein2"])
        links.assign(**dict.fromkeys(columns, 900)).to_csv(directory / name, sep=" ", index=False)
    return directory


def string_pairs(directory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CreateEvaluationDatasets(str(directory), "weissmann_rpe1")._load_string_pairs()


@pytest.mark.guarantee(
    "CausalBench's data", "Of the links that `prepare` keeps, CausalBench makes the same networks as of all."
)
def test_causalbench_makes_the_same_networks_of_them(theirs, prepared, tmp_path):
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in (*EXPRESSION_FILES, STRING_PROTEINS):
        (ours / name).symlink_to(theirs / name)
    dropped = dropped_proteins(theirs)
    for name in (STRING_NETWORK, STRING_PHYSICAL):
        write_links(theirs / name, ours / name, dropped)
        kept, every = (gzip.decompress((directory / name).read_bytes()).splitlines() for directory in (ours, theirs))
        assert kept[0] == b"protein1 protein2"
        assert 50 < len(kept) < len(every) / 5
    assert string_pairs(ours) == string_pairs(theirs)
    assert all(string_pairs(ours))


def test_links_of_proteins_without_a_name_are_kept(theirs, prepared, tmp_path):
    """CausalBench fails on them, and is to fail still."""
    lines = ["protein1 protein2 score", "9606.ENSP000 9606.UNKNOWN 1", "9606.UNKNOWN 9606.UNKNOWN 2"]
    (theirs / STRING_NETWORK).write_bytes(gzip.compress("\n".join(lines).encode()))
    write_links(theirs / STRING_NETWORK, tmp_path / "kept.gz", dropped_proteins(theirs))
    kept = gzip.decompress((tmp_path / "kept.gz").read_bytes()).decode().splitlines()
    assert kept[-1] == "9606.UNKNOWN 9606.UNKNOWN"


def test_a_row_that_is_no_link_is_refused(theirs, tmp_path):
    (theirs / STRING_NETWORK).write_bytes(gzip.compress(b"protein1 protein2\na b\na\n"))
    with pytest.raises(InputError, match=r"protein\.links\.txt\.gz: found a file that cannot be read .* got 1: a"):
        write_links(theirs / STRING_NETWORK, tmp_path / "kept.gz", [])
    assert not (tmp_path / "kept.gz").exists()


def test_links_are_made_again_if_their_source_changed(copied, tmp_path):
    made = tmp_path / "made"
    prepare_directory(copied, made)
    cells, links = ((made / name).stat().st_mtime_ns for name in ("dataset_k562.npz", STRING_NETWORK))
    (copied / STRING_NETWORK).write_bytes(gzip.compress(b"protein1 protein2\nx y\n"))
    found = prepare_directory(copied, made)
    assert found[6] == "protein.links.txt.gz: 1 of 1 links, those between genes that are perturbed and measured"
    assert (made / STRING_NETWORK).stat().st_mtime_ns > links
    assert (made / "dataset_k562.npz").stat().st_mtime_ns == cells
