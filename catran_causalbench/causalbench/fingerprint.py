"""Fingerprints of a benchmark directory: whether the files that results depend on are still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.ground_truth import TRUE_EFFECTS, TRUE_NETWORK
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, REFERENCE_FILES
from catran_causalbench.causalbench.metadata import DESCRIPTION

_LARGE = 2**26  # bytes


def references_digest(folder: Path) -> str:
    """Return a fingerprint of all files but the cells: gene names, reference networks, ground truth, description.

    Of large expression files, 10 GB each, only the size enters.
    """
    digest = hashlib.sha256()
    for path in _present(folder):
        size = path.stat().st_size
        content = b"" if path.name in EXPRESSION_FILES and size > _LARGE else path.read_bytes()
        digest.update(repr((path.name, size, hashlib.sha256(content).digest())).encode())
    return digest.hexdigest()


def file_states(folder: Path, spec: DatasetSpec) -> tuple[tuple[int, int, int], ...]:
    """Return what changes whenever a file is replaced, the cells included, without reading any of them."""
    states = (path.stat() for path in (spec.path(folder), *_present(folder)))
    return tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)


def _present(folder: Path) -> list[Path]:
    paths = (folder / name for name in (DESCRIPTION, *EXPRESSION_FILES, *REFERENCE_FILES, TRUE_NETWORK, TRUE_EFFECTS))
    return [path for path in paths if path.exists()]
