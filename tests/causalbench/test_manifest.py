"""CausalBench's files, and checks that find missing and damaged ones."""

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


def test_a_complete_directory_passes(directory):
    assert all(check.passed for check in check_data_directory(directory))


def damage_missing(path):
    path.unlink()


def damage_empty(path):
    path.write_bytes(b"")


def damage_archive(path):
    with zipfile.ZipFile(path, "w"):
        pass


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_page(path):
    path.write_text("<html>Access denied</html>")


NAMES = [EXPRESSION_FILES[0], dataset_file("rpe1"), SUMMARY, CORUM, LIGAND_RECEPTOR, STRING_NETWORK, STRING_PROTEINS]


@pytest.mark.parametrize("damage", [damage_missing, damage_empty, damage_archive, damage_cut, damage_page])
def test_damaged_files_are_found(directory, tmp_path, damage):
    for source in directory.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for name in NAMES:
        damage(tmp_path / name)
    checks = {check.name: check for check in check_data_directory(tmp_path)}
    optional = {dataset_file("rpe1"), SUMMARY}
    # An incomplete table in plain text looks like a complete one.
    expected = set(NAMES) - ({LIGAND_RECEPTOR} if damage is damage_cut else set())
    expected -= optional if damage is damage_missing else set()
    assert {name for name, check in checks.items() if check.passed is False} == expected
    assert all("catran-causalbench download" in checks[name].advice for name in expected)


def test_data_sets_are_named_by_their_cell_line():
    assert [dataset_file(line, filtered) for filtered in (False, True) for line in ("k562", "rpe1")] == [*DATASET_FILES]


def test_a_download_is_checked_under_its_final_name(directory, tmp_path):
    for name in FILES:
        part = tmp_path / f"{name}.part"
        part.write_bytes((directory / name).read_bytes())
        assert find_fault(part, name) == ""
        assert (find_fault(part, SUMMARY) == "") == (name == SUMMARY)
    assert find_fault(part, "something_else.txt") == ""
