"""Whatever happens while files are written, none is incomplete under its name, and starting again finishes them."""

import json
import os
import resource
import subprocess
import sys

import pytest
from helpers import REPOSITORY, FullAfter, files_and_arrays

from catran_causalbench.causalbench.prepare.directory import prepare_directory
from catran_causalbench.causalbench.prepare.receipt import RECEIPT
from catran_causalbench.errors import InputError
from catran_causalbench.utils import atomic_io

# Every file ends with a call of os.replace: three for the directory, three for a data set and one for its receipt, and
# two for the links at the same time; then one for their receipt and four for the other files. The cells of four files
# are normalised while these are written.
CELLS = "catran_causalbench.causalbench.prepare.dataset.log_normalised"
KILLS = [("os.replace", call) for call in (0, 3, 5, 6, 9, 16)] + [(CELLS, 1)]
STOPS = {"SIGINT": (130, "Interrupted."), "SIGTERM": (143, "Terminated.")}
MOMENTS = [
    *(("SIGKILL", *moment) for moment in KILLS),
    *((name, CELLS, 2) for name in STOPS),
]


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """Directories whose preparation was stopped, and the exit codes, by moment."""
    scratch = tmp_path_factory.mktemp("stopped")
    worker = [sys.executable, str(REPOSITORY / "tests" / "prepare_worker.py")]
    subprocess.run([*worker, str(data), str(scratch), json.dumps(MOMENTS)], check=True)
    codes = json.loads((scratch / "codes.json").read_text())
    return {moment: (scratch / str(number), codes[number]) for number, moment in enumerate(MOMENTS)}


@pytest.fixture
def expected(prepared):
    return files_and_arrays(prepared, but=RECEIPT)


def temporary_files(directory):
    return [path.name for path in directory.glob(".*")]


@pytest.mark.guarantee(
    "CausalBench's data",
    "`prepare` that is killed (`kill -9`) or interrupted, or whose disk becomes full, leaves complete files under "
    "their names and no others; the next one removes what a killed one left, and continues.",
)
@pytest.mark.parametrize("moment", KILLS, ids=str)
def test_killed_while_writing(stopped, data, expected, moment):
    directory, code = stopped[("SIGKILL", *moment)]
    assert code == -9
    assert len(temporary_files(directory)) in (1, 2)  # cells and links are written at the same time
    for name, content in files_and_arrays(directory, but=RECEIPT).items():
        assert name.startswith(".") or content == expected[name]
    prepare_directory(data, directory)
    assert files_and_arrays(directory, but=RECEIPT) == expected


@pytest.mark.parametrize("moment", MOMENTS[len(KILLS) :], ids=str)
def test_interrupted_while_writing(stopped, data, expected, moment):
    directory, code = stopped[moment]
    assert (code, directory.with_suffix(".txt").read_text().splitlines()[-1]) == STOPS[moment[0]]
    assert not temporary_files(directory)
    assert "dataset_k562.npz" in {path.name for path in directory.iterdir()}
    prepare_directory(data, directory)
    assert files_and_arrays(directory, but=RECEIPT) == expected


@pytest.mark.parametrize("writes", [0, 1, 3, 4, 5, 6, 9])
def test_a_disk_that_becomes_full(data, tmp_path, monkeypatch, expected, writes):
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", FullAfter(writes))
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); expected a writable"):
            prepare_directory(data, tmp_path / "made")
    if writes:
        assert not temporary_files(tmp_path / "made")
        for name, content in files_and_arrays(tmp_path / "made", but=RECEIPT).items():
            assert content == expected[name]
    else:
        assert not (tmp_path / "made").exists()
    prepare_directory(data, tmp_path / "made")
    assert files_and_arrays(tmp_path / "made", but=RECEIPT) == expected


def test_a_disk_that_becomes_full_while_files_are_copied(data, tmp_path, monkeypatch, expected):
    def copy_a_part(source, target):
        target.write_bytes(b"a part")
        FullAfter(0)(0)

    with monkeypatch.context() as full:
        full.setattr(atomic_io, "link_or_copy", copy_a_part)
        with pytest.raises(InputError, match=r"corum.* cannot be written \(No space left on device\)"):
            prepare_directory(data, tmp_path / "made")
    assert not temporary_files(tmp_path / "made")
    assert "dataset_rpe1.npz" in {path.name for path in (tmp_path / "made").iterdir()}
    prepare_directory(data, tmp_path / "made")
    assert files_and_arrays(tmp_path / "made", but=RECEIPT) == expected


@pytest.mark.parametrize("size", [200_000, 90_000, 50_000])
def test_a_file_that_cannot_grow(data, tmp_path, expected, size):
    """The system refuses to write in the middle of a file, as on a full disk: the cells, or the names of the genes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        with pytest.raises(InputError, match=r"which cannot be written \(File too large\)"):
            prepare_directory(data, tmp_path / "made")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not temporary_files(tmp_path / "made")
    assert not list((tmp_path / "made").glob("*.npz"))
    prepare_directory(data, tmp_path / "made")
    assert files_and_arrays(tmp_path / "made", but=RECEIPT) == expected
