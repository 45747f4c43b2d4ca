"""Fingerprints of a benchmark directory, which tell whether the files that results depend on have changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.ground_truth import TRUE_EFFECTS, TRUE_NETWORK
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, REFERENCE_FILES
from catran_causalbench.causalbench.metadata import DESCRIPTION

_LARGE = 2**26  # bytes


def references_digest(directory: Path) -> str:
    """Return a fingerprint of all files but the cells: gene names, reference networks, ground truth, description.

    Only the size of large expression files, 10 GB each, is taken into account.
    """
    digest = hashlib.sha256()
    for path in _present(directory):
        size = path.stat().st_size
        content = b"" if path.name in EXPRESSION_FILES and size > _LARGE else path.read_bytes()
        digest.update(repr((path.name, size, hashlib.sha256(content).digest())).encode())
    return digest.hexdigest()


def file_states(directory: Path, spec: DatasetSpec) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when any file is replaced, the cells included, without reading the files."""
    states = (path.stat() for path in (spec.path(directory), *_present(directory)))
    return tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)


def _present(directory: Path) -> list[Path]:
    names = (DESCRIPTION, *EXPRESSION_FILES, *REFERENCE_FILES, TRUE_NETWORK, TRUE_EFFECTS)
    return [directory / name for name in names if (directory / name).exists()]
