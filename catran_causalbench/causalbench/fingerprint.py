"""Whether a data directory is what it was, beside its cells: what the scores are measured against."""

from __future__ import annotations

import hashlib
from pathlib import Path

from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.ground_truth import TRUE_EFFECTS, TRUE_NETWORK
from catran_causalbench.causalbench.metadata import DESCRIPTION

_NAMES_OF_GENES = ("k562.h5ad", "rpe1.h5ad")
_REFERENCES = (
    "corum_complexes.txt.zip",
    "human_lr_pair.txt",
    "protein.info.txt.gz",
    "protein.links.txt.gz",
    "protein.physical.links.txt.gz",
)
_LARGE = 2**26  # bytes


def references_digest(folder: Path) -> str:
    """Fingerprint of all files that are read but the cells: names of genes, reference networks, truth, description.

    Of large expression files, 10 GB each, only the size enters.
    """
    digest = hashlib.sha256()
    for path in _present(folder):
        size = path.stat().st_size
        content = b"" if path.name in _NAMES_OF_GENES and size > _LARGE else path.read_bytes()
        digest.update(repr((path.name, size, hashlib.sha256(content).digest())).encode())
    return digest.hexdigest()


def file_states(folder: Path, selection: DatasetSpec) -> tuple[tuple[int, int, int], ...]:
    """Tell what changes with any file that is read, the cells included; quick to find out."""
    states = (path.stat() for path in (selection.path(folder), *_present(folder)))
    return tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)


def _present(folder: Path) -> list[Path]:
    paths = (folder / name for name in (DESCRIPTION, *_NAMES_OF_GENES, *_REFERENCES, TRUE_NETWORK, TRUE_EFFECTS))
    return [path for path in paths if path.exists()]
