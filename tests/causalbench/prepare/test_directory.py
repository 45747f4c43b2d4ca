"""The prepared directory: what CausalBench reads from it, and how it is made, continued and replaced."""

import json
import os
import shutil
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from causalscbench.data_access.create_dataset import CreateDataset
from causalscbench.data_access.create_name_to_ensembl_map import GeneNameMapLoader
from helpers import files_and_arrays
from typer.testing import CliRunner

from catran_causalbench.causalbench.manifest import (
    DATASET_FILES,
    EXPRESSION_FILES,
    REFERENCE_FILES,
    STRING_NETWORK,
    STRING_PHYSICAL,
    SUMMARY,
    check_data_directory,
)
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.causalbench.prepare import dataset as datasets
from catran_causalbench.causalbench.prepare.directory import prepare_directory
from catran_causalbench.causalbench.prepare.receipt import RECEIPT
from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.utils.locking import lock_directory


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def states(directory):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()}


@pytest.fixture
def made(prepared, tmp_path):
    """A copy of the prepared directory with the times of its files, to be changed."""
    return shutil.copytree(prepared, tmp_path / "made")


# What CausalBench finds


def test_causalbench_makes_no_cells_where_they_are(prepared):
    before = states(prepared)
    for filtered in (False, True):
        CreateDataset(str(prepared), filtered).load()
    assert states(prepared) == before


@pytest.mark.parametrize("name", DATASET_FILES)
def test_each_file_has_the_cells_of_its_name(prepared, causalbench_directory, name):
    with np.load(prepared / name) as found, np.load(causalbench_directory / name) as wanted:
        for array in wanted.files:
            assert found[array].dtype == wanted[array].dtype
            np.testing.assert_array_equal(found[array], wanted[array])


@pytest.mark.guarantee(
    "CausalBench's data",
    "From the .h5ad files that `prepare` writes, CausalBench reads the same map of symbols to ids as from its own.",
)
def test_causalbench_reads_the_same_map_of_names(prepared, data, screens):
    found = GeneNameMapLoader(str(prepared)).load()
    assert found == GeneNameMapLoader(str(data)).load()
    # 18 of 21 targets are measured. Which of two ids a symbol stands for changes with CausalBench's every start.
    assert len(found) in (17, 18)
    assert found["GENE051"] == "ENSG00000000051"


def test_the_expression_files_are_small_and_empty(prepared, data):
    for name in EXPRESSION_FILES:
        assert (prepared / name).stat().st_size < 0.1 * (data / name).stat().st_size
        assert not anndata.read_h5ad(prepared / name).X.nnz


def test_every_check_of_a_data_directory_passes(prepared):
    assert all(check.passed for check in check_data_directory(prepared))


def test_the_fixture_holds_the_cases_that_the_rules_are_for(prepared):
    """Each gene's fate, by hand from the table of targets."""
    genes = {name: set(np.load(prepared / name)["var_names"].tolist()) for name in DATASET_FILES}
    numbers = {name: sorted(int(gene[-3:]) for gene in found) for name, found in genes.items()}
    others = [20, 21, 22, 23, 24, 25, 26, 27, 28]
    assert numbers["dataset_k562.npz"] == [10, 11, 13, *others, 30, 31, 41, 51]
    assert not {11, 20, 21, 24, 25, 26, 28} & {*numbers["dataset_k562_filtered.npz"]}
    assert {22, 23, 27, 30, 51} <= {*numbers["dataset_k562_filtered.npz"]}


# How it is made


def test_the_command_says_what_it_found(data, tmp_path):
    result = run(data, "-o", tmp_path / "made")
    lines = result.stdout.splitlines()
    assert len(lines) == 9
    assert lines[0] == (
        "k562.h5ad: 3,384 cells × 500 genes, 21 genes perturbed; 7 cells without counts left out; "
        "it is not the file that CausalBench downloads"
    )
    assert lines[1] == "dataset_k562.npz: 3,377 cells × 16 perturbed genes; 445 cells are controls, 550 are excluded"
    assert lines[6].startswith("protein.links.txt.gz: 0 of ")
    assert lines[8] == f"{tmp_path / 'made'} is ready for causalbench_run --data_directory."
    assert "rpe1.h5ad: 2," in result.stderr
    quiet = run(data, "-o", tmp_path / "made", "--quiet")
    assert quiet.stdout == result.stdout
    assert quiet.stderr == ""


def test_other_files_are_linked(prepared, data):
    for name in ({*REFERENCE_FILES} - {STRING_NETWORK, STRING_PHYSICAL}) | {SUMMARY}:
        assert (prepared / name).samefile(data / name)


def test_where_files_cannot_be_linked_they_are_copied_once(data, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    prepare_directory(data, tmp_path / "made")
    before = states(tmp_path / "made")
    assert not (tmp_path / "made" / SUMMARY).samefile(data / SUMMARY)
    prepare_directory(data, tmp_path / "made")
    assert states(tmp_path / "made") == before


def test_a_symbolic_link_is_followed(copied, tmp_path):
    (copied / SUMMARY).rename(tmp_path / "elsewhere.xlsx")
    (copied / SUMMARY).symlink_to("../elsewhere.xlsx")
    prepare_directory(copied, tmp_path / "made")
    assert (tmp_path / "made" / SUMMARY).samefile(tmp_path / "elsewhere.xlsx")
    assert not (tmp_path / "made" / SUMMARY).is_symlink()


def test_progress_is_told(data, tmp_path):
    told = {}
    prepare_directory(data, tmp_path / "made", progress=lambda *what: told.__setitem__(what[0], what[1:]))
    assert told["k562.h5ad"] == (3384, 3384)
    assert told["dataset_k562_filtered.npz"][0] == told["dataset_k562_filtered.npz"][1]
    assert [*told] == [
        name
        for line in ("k562", "rpe1")
        for name in (f"{line}.h5ad", f"dataset_{line}.npz", f"dataset_{line}_filtered.npz")
    ]


def test_without_a_summary_nothing_is_filtered_and_that_is_said(copied, tmp_path):
    (copied / SUMMARY).unlink()
    result = run(copied, "-o", tmp_path / "made")
    assert "summary_stats.xlsx" in result.stdout
    assert "catran-causalbench download" in result.stdout
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert "dataset_k562.npz" in names
    assert not {"dataset_k562_filtered.npz", SUMMARY} & names


@pytest.mark.parametrize("where", ["description.json", "uns"])
def test_simulated_data_stay_marked(screens, copied, prepared, tmp_path, where):
    title = "SIMULATED DATA – a test"
    if where == "uns":
        screens["rpe1"].write(copied / "rpe1.h5ad", uns={"simulated": title})
    else:
        (copied / where).write_text(json.dumps({"title": title, "simulated": True, "made_by": "catran_causalbench"}))
    prepare_directory(copied, tmp_path / "made")
    assert find_metadata(tmp_path / "made")["simulated"]
    assert (tmp_path / "made" / "README.txt").read_text(encoding="utf-8").startswith(title)
    for name in DATASET_FILES:
        with np.load(tmp_path / "made" / name) as arrays:
            assert (arrays["simulated"], arrays["origin"]) == (True, title)
    assert not find_metadata(prepared)["simulated"]


# Continuing and replacing


@pytest.fixture
def reads(monkeypatch):
    """Names of the files whose counts are read."""
    names = []
    read = datasets.Counts.read
    monkeypatch.setattr(
        datasets.Counts, "read", lambda file, *others: names.append(file.path.name) or read(file, *others)
    )
    return names


@pytest.mark.guarantee(
    "CausalBench's data",
    "A data set that `prepare` has finished is not made again unless its files changed, and what was interrupted is "
    "continued to the same files.",
)
def test_what_is_finished_is_not_made_again(data, made, prepared, reads):
    before = states(made)
    found = prepare_directory(data, made)
    assert states(made) == before
    assert reads == []
    (made / "dataset_rpe1.npz").unlink()
    assert prepare_directory(data, made) == found
    assert reads == ["rpe1.h5ad"]
    assert files_and_arrays(made, but=RECEIPT) == files_and_arrays(prepared, but=RECEIPT)


def test_files_of_another_format_are_made_again(data, made, prepared, reads):
    receipt = json.loads((made / RECEIPT).read_text())
    (made / RECEIPT).write_text(json.dumps({**receipt, "format": 0}))
    prepare_directory(data, made)
    assert reads == ["k562.h5ad", "rpe1.h5ad"]
    assert files_and_arrays(made, but=RECEIPT) == files_and_arrays(prepared, but=RECEIPT)


def test_missing_links_are_made_again(data, made, reads):
    (made / SUMMARY).unlink()
    prepare_directory(data, made)
    assert (made / SUMMARY).samefile(data / SUMMARY)
    assert reads == []


@pytest.mark.parametrize("name", ["k562.h5ad", SUMMARY])
def test_data_from_other_files_are_replaced_only_if_asked_to(copied, made, prepared, reads, name):
    before = states(made)
    os.utime(copied / name, ns=(0, 0))
    with pytest.raises(InputError, match=f"^directory: found data in .* made from another {name}; .*--overw"):
        prepare_directory(copied, made)
    assert states(made) == before
    prepare_directory(copied, made, overwrite=True)
    assert reads == ["k562.h5ad", "rpe1.h5ad"]
    assert files_and_arrays(made, but=RECEIPT) == files_and_arrays(prepared, but=RECEIPT)


@pytest.mark.parametrize("when", ["k562.h5ad", "rpe1.h5ad"])
def test_an_interrupted_replacement_is_continued_without_asking_again(copied, made, prepared, reads, when):
    os.utime(copied / "k562.h5ad", ns=(0, 0))

    def interrupt(name, *_):
        if name == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_directory(copied, made, overwrite=True, progress=interrupt)
    assert not list(made.glob("*rpe1*")), "nothing old stays beside the new"
    prepare_directory(copied, made)
    assert sorted(reads) == sorted([when, "k562.h5ad", "rpe1.h5ad"])
    assert files_and_arrays(made, but=RECEIPT) == files_and_arrays(prepared, but=RECEIPT)


def test_what_others_put_there_is_left_alone(data, made, tmp_path):
    (made / "notes.txt").write_text("do not lose this")
    prepare_directory(data, made, overwrite=True)
    assert (made / "notes.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("do not lose this")
    with pytest.raises(InputError, match=r"^directory: found .*/mine', which holds other things such as 'notes\.txt'"):
        prepare_directory(data, tmp_path / "mine", overwrite=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_data_are_never_replaced_by_what_is_made_of_them(copied):
    before = states(copied)
    with pytest.raises(InputError, match=r"^directory: found .*, which holds the data"):
        prepare_directory(copied, copied, overwrite=True)
    assert states(copied) == before


def test_a_damaged_receipt_is_refused(data, made):
    for text in ("{", "[]", '{"format": 1}', '{"format": 1, "data_sets": {"k562": {"found": []}}}'):
        (made / RECEIPT).write_text(text)
        with pytest.raises(InputError, match=r"prepared\.json: found no readable receipt"):
            prepare_directory(data, made)


@pytest.mark.guarantee(
    "Faults",
    "One process at a time writes to the directory of a run, of a sweep, of a download or of a preparation.",
)
def test_one_preparation_at_a_time(data, made):
    with (
        lock_directory(made, "directory", "preparation"),
        pytest.raises(InputError, match=r"^directory: found .*, to which another preparation is writing"),
    ):
        prepare_directory(data, made)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_read(data, tmp_path, monkeypatch, reads):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"^directory: found 0\.0 GB free on the disk of"):
        prepare_directory(data, tmp_path / "made")
    assert reads == []
    assert not (tmp_path / "made").exists()
