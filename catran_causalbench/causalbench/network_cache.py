"""The reference networks among a data set's genes, kept in a file, as reading CausalBench's takes seconds.

The file lies beside the data, or in the user's cache directory where nothing can be written beside them. It counts for
the same files, genes and code only; whatever else is found there is made again. Several processes may write it at one
time: each replaces the whole file.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.fingerprint import references_digest, times_of_large_files
from catran_causalbench.causalbench.manifest import DATASET_FILES, NETWORK_FILES
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.causalbench.reference_files import NAMES, Networks, chipseq_file, read_networks
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically
from catran_causalbench.utils.fingerprint import code_version, file_digest

_LOG = logging.getLogger(__name__)


def cached_networks(directory: Path, spec: DatasetSpec, gene_names: Sequence[str]) -> Networks:
    """Return what :func:`~catran_causalbench.causalbench.reference_files.read_networks` returns, from a file if it can.

    Raise InputError if CausalBench's files have to be read and cannot.
    """
    key = _key(directory, spec, gene_names)
    for path in cache_files(directory, spec):
        known = _read(path, key, len(gene_names))
        if known:
            return known
    networks = read_networks(directory, spec.dataset_name, gene_names)
    _write(networks, key, cache_files(directory, spec))
    return networks


def cache_files(directory: Path, spec: DatasetSpec) -> list[Path]:
    """Return where the networks may be kept, the preferred place first."""
    name = NETWORK_FILES[DATASET_FILES.index(spec.path(directory).name)]
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "catran_causalbench")
    place = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return [directory / name, user_cache / place / name]


def _key(directory: Path, spec: DatasetSpec, gene_names: Sequence[str]) -> str:
    sources = (
        references_digest(directory),
        times_of_large_files(directory),
        file_digest(chipseq_file(spec.dataset_name)),
    )
    return hashlib.sha256(repr((code_version(), *sources, list(gene_names))).encode()).hexdigest()


def _read(path: Path, key: str, genes: int) -> Networks | None:
    try:
        arrays = read_npz(path, ["key", "networks", "ambiguous"])
    except InputError:  # there is none, or it is damaged
        return None
    if str(arrays["key"]) != key:
        return None
    pairs = np.unpackbits(arrays["networks"], count=len(NAMES) * genes**2).astype(bool)
    by_name = dict(zip(NAMES, pairs.reshape(len(NAMES), genes, genes), strict=True))
    return Networks(by_name, arrays["ambiguous"].tolist())


def _write(networks: Networks, key: str, paths: Sequence[Path]) -> None:
    pairs = np.packbits(np.stack([networks.pairs[name] for name in NAMES]))
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(
                path,
                lambda part: np.savez(part, key=key, networks=pairs, ambiguous=np.array(networks.ambiguous, dtype=str)),
            )
            return
        except (OSError, InputError) as error:
            reason = str(error)
    _LOG.warning("The reference networks have to be read again next time: %s", reason)
