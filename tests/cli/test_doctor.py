"""doctor: what it says of versions and of data directories."""

import json
import re
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import catran_causalbench
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.manifest import check_data_directory
from catran_causalbench.cli import app, diagnosis
from catran_causalbench.simulation.causal_model import SimulationConfig

PINS = dict(
    re.findall(r"^([\w-]+)==([\w.]+)", (Path(__file__).parents[2] / "constraints.txt").read_text(), flags=re.MULTILINE)
)
NEEDED = [re.match(r"[\w-]+", line)[0] for line in metadata.requires("catran-causalbench") if "extra ==" not in line]
GOOD = {name: metadata.version(name) for name in NEEDED}
GOOD |= PINS | {"setuptools": "80.9.0", "pandas": "2.3.3", "numpy": "2.4.0"}


def broken(versions):
    return {check.name: check.found for check in diagnosis.check_versions(versions.get) if check.passed is False}


def test_the_pinned_versions_are_good():
    assert {"causalbench", "torch", "dask", "scprep"} <= set(PINS)
    assert broken(GOOD) == {}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("torchmetrics", "1.8.2"),
        ("setuptools", "82.0.0"),
        ("scprep", "1.2.3"),
        ("pandas", "3.0.0"),
        ("causalbench", "1.0.1"),
        ("torch", "2.4.0"),
        ("pytorch-lightning", "2.6.3"),
        ("anndata", "0.9"),
    ],
)
def test_versions_known_to_fail(name, version):
    assert broken(GOOD | {name: version}) == {name: version}


def test_combinations_known_to_fail():
    assert set(broken(GOOD | {"dask": "2024.5.2", "distributed": "2024.5.2"})) == {"dask", "distributed"}
    assert set(broken(GOOD | {"distributed": "2024.2.0"})) == {"dask with distributed"}
    assert set(broken(GOOD | {"pandas": "2.0.3"})) == {"numpy with pandas"}
    assert broken(GOOD | {"pandas": "2.0.3", "numpy": "1.26.4"}) == {}


def test_a_missing_package_is_named_with_what_to_do():
    checks = {check.name: check for check in diagnosis.check_versions({**GOOD, "torch": None}.get)}
    assert checks["torch"].found == "not installed"
    assert "constraints.txt" in checks["torch"].advice
    assert checks["magic-impute"].passed is None


def test_a_package_that_is_not_installed_is_told(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert broken(GOOD) == {"catran-causalbench": f"{catran_causalbench.__version__}, but not installed"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = SimulationConfig(genes=12, cells=600, min_cells=20)
    return write_simulated_directory(tmp_path_factory.mktemp("doctor") / "world", settings, seed=0)


def test_a_whole_directory_is_whole(world):
    assert all(check.passed for check in check_data_directory(world))


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


NAMES = [
    "k562.h5ad",
    "dataset_rpe1.npz",
    "summary_stats.xlsx",
    "corum_complexes.txt.zip",
    "human_lr_pair.txt",
    "protein.links.txt.gz",
    "protein.info.txt.gz",
]


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_empty, spoil_archive, spoil_cut, spoil_page])
def test_spoilt_files_are_found(world, tmp_path, spoil):
    for source in world.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for name in NAMES:
        spoil(tmp_path / name)
    checks = {check.name: check for check in check_data_directory(tmp_path)}
    optional = {"dataset_rpe1.npz", "summary_stats.xlsx"}
    # A table in plain text that was cut off cannot be told from a whole one.
    expected = set(NAMES) - ({"human_lr_pair.txt"} if spoil is spoil_cut else set())
    expected -= optional if spoil is spoil_missing else set()
    assert {name for name, check in checks.items() if check.passed is False} == expected
    assert all("catran-causalbench download" in checks[name].advice for name in expected)


def test_the_command(world, monkeypatch):
    monkeypatch.setattr(diagnosis.sys, "executable", "/bin/true")  # importing the harness takes ten seconds
    result = CliRunner().invoke(app, ["doctor", str(world), "--json"])
    answer = json.loads(result.stdout)
    assert set(answer["checks"]) == {"Versions", "Device", f"Data in {world}", "Harness"}
    assert answer["passed"] == (result.exit_code == 0)
    assert answer["checks"]["Harness"][0]["passed"]


def test_a_broken_harness_ends_with_1(monkeypatch, tmp_path):
    """In a folder whose name looks like markup."""
    monkeypatch.setattr(diagnosis.sys, "executable", "/bin/false")
    (tmp_path / "[" / "x]").mkdir(parents=True)
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "[" / "x]")])
    assert result.exit_code == 1
    assert "[/x]" in re.sub(r"\s", "", result.stdout)
    assert re.search(r"✗ +causalbench_run can be imported +exit code 1", result.stdout)
    assert re.search(r"✗ +rpe1.h5ad +missing", result.stdout)


def test_a_missing_directory_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "Error: data_directory: found no folder" in result.output


def test_the_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).output.strip() == catran_causalbench.__version__


def test_the_shell_completes_commands():
    asked = {"_CATRAN_CAUSALBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "catran-causalbench doc", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="catran-causalbench", env=asked)
    assert result.output.split() == ["doctor"]
