"""Files that cannot be CausalBench's are refused in one line, before anything is written."""

import h5py
import numpy as np
import pandas as pd
import pytest
from replogle_layout import write_summary

from catran_causalbench.causalbench.manifest import SUMMARY, SUMMARY_SHEETS, find_stub
from catran_causalbench.causalbench.prepare import cell_lines, directory
from catran_causalbench.causalbench.prepare.directory import prepare_directory
from catran_causalbench.errors import InputError


@pytest.fixture
def refusal(copied, tmp_path):
    """Give the message with which the data, as they are now, are refused."""

    def refused():
        with pytest.raises(InputError) as error:
            prepare_directory(copied, tmp_path / "made")
        message = str(error.value)
        assert "\n" not in message
        assert "; expected " in message
        assert not [path for path in (tmp_path / "made").glob("*") if path.suffix in (".npz", ".h5ad", ".part")]
        return message

    return refused


def untouched(tmp_path):
    return not (tmp_path / "made").exists()


# Files


def test_no_directory(copied, tmp_path):
    with pytest.raises(InputError, match=r"^data: found no k562\.h5ad, rpe1\.h5ad, corum.* in '.*/absent'; expected"):
        prepare_directory(tmp_path / "absent", tmp_path / "made")
    assert untouched(tmp_path)


def test_missing_files_are_all_named_with_the_command_that_fetches_them(copied, refusal, tmp_path):
    (copied / "rpe1.h5ad").unlink()
    (copied / "human_lr_pair.txt").unlink()
    message = refusal()
    assert message.startswith(f"data: found no rpe1.h5ad, human_lr_pair.txt in '{copied}'")
    assert f"`catran-causalbench download --output {copied}` fetches them" in message
    assert untouched(tmp_path)


@pytest.mark.parametrize("name", ["k562.h5ad", "protein.links.txt.gz", "corum_complexes.txt.zip", SUMMARY])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_files(copied, refusal, tmp_path, name, share):
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: int(share * len(whole))])
    message = refusal()
    assert message.startswith(f"data: found {name} in ")
    assert "catran-causalbench download" in message
    assert untouched(tmp_path)


def test_files_with_other_content(copied, refusal, tmp_path):
    (copied / "human_lr_pair.txt").write_text("a\tb\n")
    assert "human_lr_pair.txt" in refusal()
    assert untouched(tmp_path)


# Labels and names


@pytest.mark.parametrize("column", ["gene", "gene_id"])
def test_a_missing_column_of_obs(screens, copied, refusal, tmp_path, column):
    screens["rpe1"].write(copied / "rpe1.h5ad", obs=screens["rpe1"].obs.drop(columns=column))
    assert f"{column!r}" in refusal() or f"obs/{column}" in refusal()
    assert untouched(tmp_path)


def test_missing_symbols(screens, copied, refusal, tmp_path):
    screens["rpe1"].write(copied / "rpe1.h5ad", var=screens["rpe1"].var.drop(columns="gene_name"))
    assert "var/gene_name" in refusal()
    assert untouched(tmp_path)


@pytest.mark.filterwarnings("ignore:.*names are not unique")  # where the file is written
@pytest.mark.parametrize("table", ["obs", "var"])
def test_a_name_that_comes_twice(screens, copied, refusal, tmp_path, table):
    """CausalBench finds cells by their barcodes and genes by their ids."""
    names = getattr(screens["k562"], table).copy()
    names.index = [names.index[1], *names.index[1:]]
    screens["k562"].write(copied / "k562.h5ad", **{table: names})
    assert refusal().startswith(f"k562.h5ad: found {names.index[0]!r} twice in the index of {table}")
    assert untouched(tmp_path)


@pytest.mark.parametrize(("controls", "kept"), [(100, False), (101, True)])
def test_too_few_controls(screens, copied, refusal, tmp_path, controls, kept):
    """CausalBench would exclude them as it does with any label of 100 cells or fewer."""
    obs = screens["k562"].obs.copy()
    surplus = np.flatnonzero(obs["gene"] == "non-targeting")[controls:]
    obs.iloc[surplus, [obs.columns.get_loc(name) for name in ("gene", "gene_id")]] = "other"
    screens["k562"].write(copied / "k562.h5ad", obs=obs)
    if kept:
        prepare_directory(copied, tmp_path / "made")
        return
    assert "no 'non-targeting' as the label of more than 100 cells" in refusal()
    assert untouched(tmp_path)


def test_ids_that_no_column_has(screens, copied, refusal, tmp_path):
    var = screens["k562"].var.copy()
    var.index = [f"{name}.1" for name in var.index]
    screens["k562"].write(copied / "k562.h5ad", var=var)
    assert "k562.h5ad: found no perturbed gene that is measured of more than 100 cells;" in refusal()
    assert untouched(tmp_path)


# Cell lines


def test_files_that_were_exchanged(copied, refusal, tmp_path):
    (copied / "k562.h5ad").rename(copied / "other")
    (copied / "rpe1.h5ad").rename(copied / "k562.h5ad")
    (copied / "other").rename(copied / "rpe1.h5ad")
    assert refusal().startswith("data: found the cells of rpe1.h5ad under the name k562.h5ad")
    assert untouched(tmp_path)


def test_sheets_that_say_the_same_accuse_no_file(screens, copied, tmp_path):
    write_summary(copied / SUMMARY, dict.fromkeys(SUMMARY_SHEETS, screens["k562"]))
    prepare_directory(copied, tmp_path / "made")


@pytest.mark.parametrize("summary", [True, False])
def test_one_file_under_both_names(copied, refusal, tmp_path, summary):
    (copied / "rpe1.h5ad").write_bytes((copied / "k562.h5ad").read_bytes())
    if not summary:
        (copied / SUMMARY).unlink()
    assert refusal().startswith("data: found the same cells in k562.h5ad and rpe1.h5ad")
    assert untouched(tmp_path)


def test_the_published_size_gives_a_file_away(copied, refusal, tmp_path, monkeypatch):
    (copied / SUMMARY).unlink()
    monkeypatch.setitem(cell_lines._PUBLISHED, "k562.h5ad", (copied / "rpe1.h5ad").stat().st_size)
    assert refusal().startswith("data: found the cells of k562.h5ad under the name rpe1.h5ad")
    assert untouched(tmp_path)


def test_the_published_file_is_recognised(copied, tmp_path, monkeypatch):
    found = prepare_directory(copied, tmp_path / "made")
    monkeypatch.setitem(cell_lines._PUBLISHED, "k562.h5ad", (copied / "k562.h5ad").stat().st_size)
    monkeypatch.setattr(directory, "find_stub", lambda *_: "")  # the other files are not the published ones
    published = prepare_directory(copied, tmp_path / "made", overwrite=True)
    assert [text.count("not the file that CausalBench downloads") for text in (found[0], published[0])] == [1, 0]


@pytest.mark.parametrize("name", ["protein.links.txt.gz", "human_lr_pair.txt", SUMMARY])
def test_stubs_beside_the_published_file(copied, refusal, tmp_path, monkeypatch, name):
    monkeypatch.setitem(cell_lines._PUBLISHED, "k562.h5ad", (copied / "k562.h5ad").stat().st_size)
    monkeypatch.setattr(directory, "find_stub", lambda path, other: find_stub(path, other) * (other == name))
    assert f"found {name} in '{copied}', which has a stub of " in refusal()
    assert untouched(tmp_path)


# Summary


def test_a_summary_without_a_sheet(screens, copied, refusal, tmp_path):
    write_summary(copied / SUMMARY, {"k562": screens["k562"]})
    assert refusal().startswith("summary_stats.xlsx: found a workbook that cannot be used (Worksheet named 'TabC")
    assert untouched(tmp_path)


@pytest.mark.parametrize(
    "column",
    ["genetic perturbation", "percent knockdown", "Number of DEGs (anderson-darling)", "number of cells (filtered)"],
)
def test_a_summary_without_a_column(screens, copied, refusal, tmp_path, column):
    with pd.ExcelWriter(copied / SUMMARY) as workbook:
        for line, screen in screens.items():
            screen.summary.drop(columns=column).to_excel(workbook, sheet_name=SUMMARY_SHEETS[line], index=False)
    assert column in refusal()
    assert untouched(tmp_path)


def test_a_summary_in_which_nothing_is_strong(screens, copied, refusal, tmp_path):
    with pd.ExcelWriter(copied / SUMMARY) as workbook:
        for line, screen in screens.items():
            weak = screen.summary.assign(**{"percent knockdown": 0.0})
            weak.to_excel(workbook, sheet_name=SUMMARY_SHEETS[line], index=False)
    assert "no perturbed gene that is measured of more than 100 cells, among strong perturbations" in refusal()
    assert untouched(tmp_path)


# Counts


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0.5, "fractions, negative values or NaN"),
        (-1, "fractions, negative values or NaN"),
        (np.nan, "fractions, negative values or NaN"),
        (np.inf, "inf as the total of a cell"),
        (2.0**24, "as the total of a cell"),
    ],
)
@pytest.mark.parametrize("storage", ["dense", "csr", "csc"])
def test_values_that_are_no_counts(screens, copied, refusal, storage, value, found):
    path = screens["k562"].write(copied / "k562.h5ad", storage)
    with h5py.File(path, "r+") as file:
        values = file["X"] if storage == "dense" else file["X/data"]
        values[-1] = value
    message = refusal()
    assert message.startswith("k562.h5ad: found ")
    assert found in message


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_negative_integers(screens, copied, refusal, dtype):
    path = screens["k562"].write(copied / "k562.h5ad", "dense", dtype)
    with h5py.File(path, "r+") as file:
        file["X"][7, 7] = -1
    assert "fractions, negative values or NaN" in refusal()


@pytest.mark.parametrize("dtype", ["float16", "bool", "complex64"])
def test_types_that_hold_no_counts(screens, copied, refusal, tmp_path, dtype):
    screens["k562"].write(copied / "k562.h5ad")
    with h5py.File(copied / "k562.h5ad", "r+") as file:
        matrix = file["X"][:].astype(dtype)
        del file["X"]
        file["X"] = matrix
    assert refusal().startswith(f"k562.h5ad: found values of type {dtype}")
    assert untouched(tmp_path)


@pytest.mark.parametrize("storage", ["csr", "csc"])
@pytest.mark.parametrize("index", [-1, 10_000])
def test_indices_out_of_range(screens, copied, refusal, storage, index):
    with h5py.File(screens["k562"].write(copied / "k562.h5ad", storage), "r+") as file:
        file["X/indices"][100] = index
    assert refusal().startswith("data: found k562.h5ad, which cannot be read (indices must be ")


def test_a_matrix_of_another_shape(screens, copied, refusal, tmp_path):
    with h5py.File(copied / "k562.h5ad", "r+") as file:
        matrix = file["X"][:-1]
        del file["X"]
        file["X"] = matrix
    assert refusal().startswith("data: found k562.h5ad, which cannot be read (Observations annot. `obs` must have as")
    assert untouched(tmp_path)


def test_an_older_layout(copied, refusal, tmp_path):
    with h5py.File(copied / "k562.h5ad", "r+") as file:
        del file["obs"]
        file["obs"] = np.zeros(3, [("gene_id", "S3")])
    assert "obs/gene_id" in refusal()
    assert untouched(tmp_path)
