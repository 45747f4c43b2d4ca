"""Recognise files of other formats, and say in one line how to make an .h5ad of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError

_READABLE = "an .h5ad, .zarr or .npz"
_HDF5 = b"\x89HDF"
# What a file of another kind begins with: what it is, and what to do.
_BEGINNINGS = {
    b"\x1f\x8b": ("compressed", "gunzip {name}"),
    b"BZh": ("compressed", "bunzip2 {name}"),
    b"\xfd7zXZ": ("compressed", "unxz {name}"),
    b"PK\x03\x04": ("compressed", "unzip {name}"),
    b"version https://git-lfs": ("a pointer of Git LFS", "git lfs pull"),
    b"<": ("a page of the web", "download the file itself"),
}
# What reads a file without labels, by the end of its name.
_READERS = {
    ".csv": "anndata.io.read_csv({path!r}), with .T if its rows are genes",
    ".tsv": "anndata.io.read_text({path!r}), with .T if its rows are genes",
    ".txt": "anndata.io.read_text({path!r}), with .T if its rows are genes",
    ".mtx": "anndata.io.read_mtx({path!r}), with .T if its rows are genes",
}
_SEURAT = "zellkonverter::writeH5AD(Seurat::as.SingleCellExperiment(readRDS({path!r})), 'screen.h5ad') in R"


def reject_foreign_file(path: Path) -> None:
    """Raise InputError for what is neither a file nor a zarr store, and for formats that name or first bytes tell."""
    name = path.name
    if not path.exists():
        raise InputError.of("data", f"no file {str(path)!r}", f"an existing {_READABLE[3:]}")
    folder = path if path.is_dir() else path.parent
    if name.startswith("matrix.mtx") or (path.is_dir() and list(path.glob("matrix.mtx*"))):
        raise _unlabelled(f"{name} of 10x Genomics", f"scanpy.read_10x_mtx({str(folder)!r})")
    if path.is_dir():
        if not any((path / marker).exists() for marker in ("zarr.json", ".zgroup")):
            raise InputError.of("data", f"the directory {name}, which is no zarr store", _READABLE)
        return
    with path.open("rb") as file:
        start = file.read(64)
    if path.suffix == ".npz" or start.startswith(_HDF5):
        return
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    if suffix in _READERS:
        raise _unlabelled(f"{name}, a table without labels", _READERS[suffix].format(path=str(path)))
    if suffix == ".rds":
        raise InputError.of("data", f"{name}, a file of R", f"an .h5ad: {_SEURAT.format(path=str(path))}")
    for beginning, (kind, cure) in _BEGINNINGS.items():
        if start.startswith(beginning):
            raise InputError.of("data", f"{name}, {kind}", f"{_READABLE}: {cure.format(name=name)}")


def reject_foreign_store(store: Any, path: Path) -> None:
    """Raise InputError for an HDF5 file or zarr store that holds something other than an AnnData."""
    groups = {name: store[name] for name in store if hasattr(store[name], "keys")}
    name, source = path.name, str(path)
    if "mod" in groups:
        parts = sorted(groups["mod"])
        part = "rna" if "rna" in parts else parts[0]
        reader = "read_zarr" if path.is_dir() else "read_h5mu"
        cure = f"an .h5ad: mudata.{reader}({source!r}).mod[{part!r}].write_h5ad('screen.h5ad')"
        raise InputError.of("data", f"{name}, a MuData of {', '.join(parts)}", cure)
    if "assays" in groups:
        cure = f"an .h5ad: SeuratDisk::Convert({source!r}, dest = 'h5ad') in R"
        raise InputError.of("data", f"{name}, a file of SeuratDisk", cure)
    if {"row_attrs", "col_attrs"} <= set(groups):
        raise _unlabelled(f"{name}, a loom file", f"anndata.io.read_loom({source!r})")
    if any("barcodes" in group for group in groups.values()):
        raise _unlabelled(f"{name}, a file of 10x Genomics", f"scanpy.read_10x_h5({source!r})")
    if not {"obs", "var"} <= set(store):
        found = f"{name}, which holds {', '.join(map(repr, store)) or 'nothing'}"
        raise InputError.of("data", found, f"{_READABLE}, with X, obs and var as anndata writes them")


def _unlabelled(found: str, reader: str) -> InputError:
    cure = f"adata = {reader}; put each cell's label into adata.obs; adata.write_h5ad('screen.h5ad')"
    return InputError.of("data", found, f"an .h5ad: {cure}")
