"""Fingerprints of a benchmark directory, which tell whether the files that results depend on have changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.ground_truth import TRUE_EFFECTS, TRUE_NETWORK
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, REFERENCE_FILES
from catran_causalbench.causalbench.metadata import DESCRIPTION
from catran_causalbench.utils.fingerprint import file_digest

_LARGE = 2**26  # bytes


def references_digest(directory: Path) -> str:
    """Return a fingerprint of all files but the cells: gene names, reference networks, ground truth, description.

    Only the size of large expression files, 10 GB each, is taken into account.
    """
    digest = hashlib.sha256()
    for path in _present(directory):
        size = path.stat().st_size
        content = hashlib.sha256(b"").hexdigest() if _is_large(path) else file_digest(path)
        digest.update(repr((path.name, size, bytes.fromhex(content))).encode())
    return digest.hexdigest()


def times_of_large_files(directory: Path) -> list[int]:
    """Return when the files were changed of which :func:`references_digest` takes the size only."""
    return [path.stat().st_mtime_ns for path in _present(directory) if _is_large(path)]


def file_states(directory: Path, spec: DatasetSpec) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when any file is replaced, the cells included, without reading the files."""
    states = (path.stat() for path in (spec.path(directory), *_present(directory)))
    return tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)


def _is_large(path: Path) -> bool:
    return path.name in EXPRESSION_FILES and path.stat().st_size > _LARGE


def _present(directory: Path) -> list[Path]:
    names = (DESCRIPTION, *EXPRESSION_FILES, *REFERENCE_FILES, TRUE_NETWORK, TRUE_EFFECTS)
    return [directory / name for name in names if (directory / name).exists()]
