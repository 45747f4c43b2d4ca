"""The list of CausalBench's files, and what is found missing or damaged."""

import zipfile

import pytest

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.manifest import (
    CORUM,
    DATASET_FILES,
    EXPRESSION_FILES,
    FILES,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PROTEINS,
    SUMMARY,
    check_data_directory,
    dataset_file,
    find_fault,
)
from catran_causalbench.simulation.causal_model import SimulationConfig


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    settings = SimulationConfig(genes=12, cells=600, min_cells=20)
    return write_simulated_directory(tmp_path_factory.mktemp("manifest") / "simulated", settings, seed=0)


def test_a_whole_directory_is_whole(directory):
    assert all(check.passed for check in check_data_directory(directory))


def spoil_missing(path):
    path.unlink()


def spoil_empty(path):
    path.write_bytes(b"")


def spoil_archive(path):
    with zipfile.ZipFile(path, "w"):
        pass


def spoil_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_page(path):
    path.write_text("<html>Access denied</html>")


NAMES = [EXPRESSION_FILES[0], dataset_file("rpe1"), SUMMARY, CORUM, LIGAND_RECEPTOR, STRING_NETWORK, STRING_PROTEINS]


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_empty, spoil_archive, spoil_cut, spoil_page])
def test_spoilt_files_are_found(directory, tmp_path, spoil):
    for source in directory.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for name in NAMES:
        spoil(tmp_path / name)
    checks = {check.name: check for check in check_data_directory(tmp_path)}
    optional = {dataset_file("rpe1"), SUMMARY}
    # A table in plain text that was cut off cannot be told from a whole one.
    expected = set(NAMES) - ({LIGAND_RECEPTOR} if spoil is spoil_cut else set())
    expected -= optional if spoil is spoil_missing else set()
    assert {name for name, check in checks.items() if check.passed is False} == expected
    assert all("catran-causalbench download" in checks[name].advice for name in expected)


def test_datasets_go_by_their_cell_line():
    assert [dataset_file(line, filtered) for filtered in (False, True) for line in ("k562", "rpe1")] == [*DATASET_FILES]


def test_a_file_is_judged_by_the_name_that_it_will_have(directory, tmp_path):
    """As a download arrives under another name."""
    for name in FILES:
        part = tmp_path / f"{name}.part"
        part.write_bytes((directory / name).read_bytes())
        assert find_fault(part, name) == ""
        assert (find_fault(part, SUMMARY) == "") == (name == SUMMARY)
    assert find_fault(part, "something_else.txt") == ""
