"""Screens in all forms of memory and file: the same values however stored, and one line for what cannot be read."""

import bz2
import gzip
import lzma
import shutil
import sys
from pathlib import Path

import anndata
import dask.array
import h5py
import numpy as np
import pytest
from scipy import sparse
from screens import read, small, stored, write_npz

from catran_causalbench import InputError
from catran_causalbench.data.matrix_blocks import matrix_blocks
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.simulation import to_anndata as simulated_screens


@pytest.fixture(scope="module")
def simulated():
    return simulated_screens.simulate_anndata(genes=12, cells=2000, seed=1)


@pytest.mark.guarantee(
    "Input",
    "In whatever form anndata keeps a screen (dense, sparse, a view, backed, Dask, zarr), it is the same data set.",
)
@pytest.mark.filterwarnings("ignore:.*np.matrix", "ignore:.*matrix subclass")
@pytest.mark.parametrize("values_per_block", [7 * 1999, 2**24])
@pytest.mark.parametrize(
    "how",
    [
        "dense",
        "csr",
        "csc",
        "csr_array",
        "csc_array",
        "float64",
        "fortran",
        "matrix",
        "masked",
        "big-endian",
        "csr view",
        "csr shuffled",
        "dask",
        "csr dask",
        "dense file",
        "csr file",
        "csc file",
        "csc layer file",
        "dense zarr",
        "csr zarr",
        "csc layer zarr",
        "csc backed",
        "csr backed",
        "dense backed",
        "csr view backed",
        "npz",
        "npz fortran",
    ],
)
def test_however_it_is_stored_the_dataset_is_the_same(simulated, how, values_per_block, monkeypatch, tmp_path):
    monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", values_per_block)
    targets = simulated.obs["target_gene"].astype(str).tolist()
    expected = validate_dataset(simulated.X, targets, simulated.var_names)
    screen = read(stored(simulated, how, tmp_path), layer="expression" if "layer" in how else None)
    dataset = screen.dataset()
    assert dataset.gene_names == expected.gene_names
    np.testing.assert_array_equal(dataset.intervention, expected.intervention)
    np.testing.assert_array_equal(dataset.expression, expected.expression)
    if "shuffled" not in how:
        np.testing.assert_array_equal(screen.expression, simulated.X)
        assert screen.labels(screen.gene_ids).tolist() == targets


def test_a_file_written_before_anndata_0_7_is_read(tmp_path):
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        file["X"] = adata.X
        labels = list(zip(adata.obs_names, adata.obs["target_gene"], strict=True))
        file["obs"] = np.array(labels, dtype=[("index", "S9"), ("target_gene", "S13")])
        file["var"] = np.array([(name,) for name in adata.var_names], dtype=[("index", "S9")])
    with pytest.warns(Warning, match="old"):
        screen = read(tmp_path / "old.h5ad")
    np.testing.assert_array_equal(screen.expression, adata.X[:, :2])


@pytest.mark.parametrize("kind", ["file", "zarr"])
def test_both_formats_of_zarr_and_old_attributes_of_sparse_matrices_are_read(simulated, kind, tmp_path):
    path = stored(simulated, f"csr {kind}", tmp_path)
    if kind == "zarr":
        shutil.rmtree(path)
        with anndata.settings.override(zarr_write_format=3):
            stored(simulated, "csr zarr", tmp_path)
    else:  # as by anndata 0.6 and SeuratDisk
        with h5py.File(path, "r+") as file:
            del file["X"].attrs["encoding-type"], file["X"].attrs["encoding-version"], file["X"].attrs["shape"]
            file["X"].attrs["h5sparse_format"], file["X"].attrs["h5sparse_shape"] = "csr", simulated.shape
    np.testing.assert_array_equal(read(path).expression, simulated.X)


class Recorder:
    """A matrix that remembers the shapes that were asked of it, and that can only give parts."""

    def __init__(self, matrix):
        self.matrix, self.shapes = matrix, []
        self.shape, self.dtype, self.ndim = matrix.shape, matrix.dtype, 2

    def __getitem__(self, places):
        part = self.matrix[places]
        self.shapes.append(part.shape)
        return part


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_of_dask_each_chunk_is_computed_once_and_alone(simulated, form):
    recorder = Recorder(form(simulated.X))
    adata = simulated.copy()
    adata.X = dask.array.from_array(recorder, (700, 5), meta=form(np.zeros((0, 0), np.float32)), lock=False)
    recorder.shapes.clear()
    np.testing.assert_array_equal(read(adata).expression, simulated.X)
    assert recorder.shapes == [(rows, columns) for rows in (700, 700, 600) for columns in (5, 5, 2)]


def test_blocks_follow_the_way_in_which_a_matrix_is_stored(simulated, monkeypatch):
    monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", 9000)
    for matrix, shapes in (
        (simulated.X, [(750, 12), (750, 12), (500, 12)]),
        (sparse.csc_array(simulated.X), [(2000, 4)] * 3),
    ):
        assert [block.shape for _, _, block in matrix_blocks(matrix)] == shapes


@pytest.mark.parametrize(
    ("rows_of_chunk", "rows"),
    [(300, [600, 600, 600, 200]), (800, [800, 800, 400]), (1999, [1999, 1])],
)
def test_no_chunk_of_a_file_is_read_twice(simulated, monkeypatch, tmp_path, rows_of_chunk, rows):
    monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", 9000)
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        matrix = file.create_dataset("X", data=simulated.X, chunks=(rows_of_chunk, 5))
        assert [len(block) for _, _, block in matrix_blocks(matrix)] == rows
        monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", 2000)
        assert max(len(block) for _, _, block in matrix_blocks(matrix)) <= 600  # chunks larger than that are divided


@pytest.mark.guarantee("Input", "Sparse indices out of range never reach memory.")
@pytest.mark.parametrize("storage", ["csr", "csc"])
@pytest.mark.parametrize("index", [-1, 10_000])
def test_indices_out_of_range_are_refused(simulated, tmp_path, storage, index):
    path = stored(simulated, f"{storage} file", tmp_path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][100] = index
    with pytest.raises(InputError, match=r"^data: found screen\.h5ad, which cannot be read \(indices must be "):
        read(path)


def test_masked_values_and_values_that_are_no_numbers_are_refused():
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    for matrix, message in (
        (np.ma.masked_greater(adata.X, 1.5), "masked values; expected a number for every cell and gene"),
        (adata.X.astype(complex), "values of type complex128; expected real numbers"),
        (adata.X.astype(object), "values of type object; expected real numbers"),
    ):
        adata.layers["odd"] = matrix
        with pytest.raises(InputError, match=f"^expression_matrix: found {message}"):
            read(adata, layer="odd")


def groups(path, *names, **datasets):
    with h5py.File(path, "w") as file:
        for name in names:
            file.create_group(name)
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values


@pytest.mark.guarantee(
    "Input", "A file of another format, or one that is locked, ends in one line that says what to do."
)
def test_files_of_other_formats_are_named_with_what_makes_an_h5ad_of_them(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    groups("screen.h5mu", "mod/rna", "mod/prot", "obs", "var")
    groups("protein.h5mu", "mod/prot", "obs", "var")
    groups("filtered.h5", matrix__barcodes=[b"AA-1"], matrix__data=[1])
    groups("old.h5", GRCh38__barcodes=[b"AA-1"], GRCh38__genes=[b"E"])
    groups("screen.loom", "row_attrs", "col_attrs", "layers", matrix=np.zeros((2, 2)))
    groups("screen.h5seurat", "assays/RNA", "meta.data")
    groups("other.h5", "images", "labels")
    simulated.write_h5ad("plain.h5ad")
    for suffix, package in (("gz", gzip), ("bz2", bz2), ("xz", lzma)):
        Path(f"screen.h5ad.{suffix}").write_bytes(package.compress(Path("plain.h5ad").read_bytes()))
    shutil.copy("screen.h5ad.gz", "renamed.h5ad")
    shutil.make_archive("screen.zarr", "zip", ".", "plain.h5ad")
    for name in ("table.csv", "table.tsv.gz", "DGE.mtx", "matrix.mtx.gz", "screen.rds"):
        Path(name).write_bytes(b"no matter")
    Path("pointer.h5ad").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    Path("page.h5ad").write_text("<!DOCTYPE html><html>Not found</html>")
    for folder, content in (("filtered_feature_bc_matrix", "matrix.mtx.gz"), ("empty.zarr", None)):
        Path(folder).mkdir()
        if content:
            (Path(folder) / content).touch()
    for name, parts in {
        "screen.h5mu": ("of prot, rna;", "mudata.read_h5mu('screen.h5mu').mod['rna'].write_h5ad('screen.h5ad')"),
        "protein.h5mu": ("a MuData of prot;", ".mod['prot']."),
        "filtered.h5": ("10x Genomics", "= scanpy.read_10x_h5('filtered.h5'); put each cell's label into adata.obs; "),
        "old.h5": ("10x Genomics", "= scanpy.read_10x_h5('old.h5'); "),
        "screen.loom": ("a loom file", "= anndata.io.read_loom('screen.loom'); "),
        "screen.h5seurat": ("SeuratDisk", "SeuratDisk::Convert('screen.h5seurat', dest = 'h5ad')"),
        "other.h5": ("which holds 'images', 'labels'", "with X, obs and var"),
        "screen.h5ad.gz": ("compressed", "gunzip screen.h5ad.gz"),
        "renamed.h5ad": ("compressed", "gunzip renamed.h5ad"),
        "screen.h5ad.bz2": ("compressed", "bunzip2 screen.h5ad.bz2"),
        "screen.h5ad.xz": ("compressed", "unxz screen.h5ad.xz"),
        "screen.zarr.zip": ("compressed", "unzip screen.zarr.zip"),
        "table.csv": ("a table without labels", "= anndata.io.read_csv('table.csv'), with .T if its rows are genes; "),
        "table.tsv.gz": ("a table without labels", "= anndata.io.read_text('table.tsv.gz'), with .T"),
        "DGE.mtx": ("a table without labels", "= anndata.io.read_mtx('DGE.mtx'), with .T"),
        "matrix.mtx.gz": ("10x Genomics", "= scanpy.read_10x_mtx('.'); "),
        "filtered_feature_bc_matrix": ("10x Genomics", "= scanpy.read_10x_mtx('filtered_feature_bc_matrix'); "),
        "screen.rds": ("a file of R", "zellkonverter::writeH5AD(", "readRDS('screen.rds')"),
        "pointer.h5ad": ("a pointer of Git LFS", "git lfs pull"),
        "page.h5ad": ("a page of the web", "download the file itself"),
        "empty.zarr": ("the directory empty.zarr, which is no zarr store",),
    }.items():
        with pytest.raises(InputError, match=f"^data: found .*{name}.*; expected an ") as refusal:
            read(name)
        assert all(part in str(refusal.value) for part in parts), refusal.value
        assert "\n" not in str(refusal.value)


@pytest.mark.skipif(sys.platform == "win32", reason="locks files in another way")
def test_a_file_that_another_program_writes_to_says_so(simulated, tmp_path):
    import fcntl

    path = stored(simulated, "file", tmp_path)
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            InputError, match=r"^data: found screen\.h5ad, .*unable to lock .*HDF5_USE_FILE_LOCKING=FALSE"
        ):
            read(path)
    assert read(path).gene_ids


def test_bad_files_say_what_is_wrong(simulated, tmp_path):
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    np.save(tmp_path / "array.npy", adata.X)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    write_npz(tmp_path / "pickled.npz", adata, interventions=np.array(["A"] * 12, object))
    write_npz(tmp_path / "narrow.npz", adata, expression_matrix=adata.X[:, :2])
    write_npz(tmp_path / "scalar.npz", adata, var_names=np.array("A"))
    write_npz(tmp_path / "text.npz", adata, expression_matrix=adata.X.astype(str))
    for name in ("broken.h5ad", "broken.npz", "table.csv"):
        (tmp_path / name).write_bytes(b"\x89HDF nothing of the kind")
    with h5py.File(tmp_path / "empty.h5ad", "w"):
        pass
    for name, message in {
        "absent.npz": "no file",
        "array.npz": "cannot be read",
        "other.npz": r"cannot be read \(.*var_names.*expected .* an .npz with expression_matrix, var_names",
        "pickled.npz": "Object arrays",
        "narrow.npz": r"shape \(12, 2\); expected .* for \(12,\) interventions and \(3,\) var_names",
        "scalar.npz": r"for \(12,\) interventions and \(\) var_names",
        "text.npz": "of type <U",
        "broken.h5ad": "cannot be read",
        "broken.npz": "cannot be read",
        "table.csv": "cannot be read .* expected an .h5ad",
        "empty.h5ad": "which holds nothing",
    }.items():
        with pytest.raises(InputError, match=f"^data: found .*{name}.*{message}|^data: found {message}.*{name}"):
            read(tmp_path / name)
    with pytest.raises(InputError, match=r"^data: found a list; expected an AnnData, as data\.mod\['rna'\]"):
        read([1, 2])


def damage(path, start):
    content = bytearray(path.read_bytes())
    content[start : start + 30] = bytes(255 - byte for byte in content[start : start + 30])
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["h5ad", "npz"])
def test_a_file_that_proves_damaged_while_it_is_read_says_so(simulated, kind, tmp_path):
    path = tmp_path / f"screen.{kind}"
    if kind == "npz":
        write_npz(path, simulated)
        start = 80  # behind the header of the first array
    else:
        simulated.write_h5ad(path, compression="gzip")
        with h5py.File(path) as file:
            start = file["X"].id.get_chunk_info(0).byte_offset
    damage(path, start)
    with pytest.raises(InputError, match=rf"^data: found screen\.{kind}, which cannot be read") as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_a_layer_that_is_not_asked_for_is_not_read(simulated, tmp_path):
    path = tmp_path / "screen.h5ad"
    adata = simulated.copy()
    adata.layers["counts"] = adata.layers["counts"].toarray()
    adata.write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        start = file["layers/counts"].id.get_chunk_info(0).byte_offset
    damage(path, start)
    np.testing.assert_array_equal(read(path).expression, simulated.X)
    with pytest.raises(InputError, match="cannot be read"):
        read(path, layer="counts", counts=True)
