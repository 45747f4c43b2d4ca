"""Fingerprints of files, and of the code that made a result: the version number does not tell two commits apart."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from catran_causalbench import __version__


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file of any size."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(2**24):
            digest.update(block)
    return digest.hexdigest()


@cache
def code_version() -> str:
    """Return the package's version and, after a ``+``, a fingerprint of its modules."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for module in sorted(package.rglob("*.py")):
        digest.update(repr((module.relative_to(package).as_posix(), module.read_bytes())).encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"
