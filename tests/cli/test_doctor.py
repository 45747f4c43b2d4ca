"""doctor: what it says of versions and of data directories."""

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import catran_causalbench
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.manifest import REFERENCE_FILES, SUMMARY
from catran_causalbench.cli import app, doctor
from catran_causalbench.simulation.causal_model import SimulationConfig

PINS = dict(
    re.findall(r"^([\w-]+)==([\w.]+)", (Path(__file__).parents[2] / "constraints.txt").read_text(), flags=re.MULTILINE)
)
NEEDED = [re.match(r"[\w-]+", line)[0] for line in metadata.requires("catran-causalbench") if "extra ==" not in line]
GOOD = {name: metadata.version(name) for name in NEEDED}
GOOD |= PINS | {"setuptools": "80.9.0", "pandas": "2.3.3", "numpy": "2.4.0"}


def broken(versions):
    return {check.name: check.found for check in doctor.check_versions(versions.get) if check.passed is False}


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
    assert set(broken(GOOD | {"dask": "2024.5.2", "distributed": "2024.5.2"})) == {"dask"}
    assert set(broken(GOOD | {"distributed": "2024.2.0"})) == {"dask with distributed"}


def test_a_missing_package_is_named_with_what_to_do():
    checks = {check.name: check for check in doctor.check_versions({**GOOD, "torch": None}.get)}
    assert checks["torch"].found == "not installed"
    assert "constraints.txt" in checks["torch"].advice
    assert checks["magic-impute"].passed is None


@pytest.mark.parametrize(("program", "passed"), [("/bin/true", None), ("/bin/false", False)])
def test_a_version_beyond_the_limits_is_no_fault_where_causalbench_can_be_imported(monkeypatch, program, passed):
    monkeypatch.setattr(doctor.sys, "executable", program)
    monkeypatch.setattr(doctor, "_installed", (GOOD | {"torchmetrics": "1.8.2", "torch": "2.4.0"}).get)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    versions, *_ = json.loads(result.stdout)["sections"]
    checks = {check["name"]: check["passed"] for check in versions["checks"]}
    assert checks["torchmetrics"] is passed
    assert checks["torch"] is False, "a limit for security's sake holds in any case"


def test_a_package_that_is_not_installed_is_told(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert broken(GOOD) == {"catran-causalbench": f"{catran_causalbench.__version__}, but not installed"}


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", "/bin/true")  # importing CausalBench takes ten seconds
    result = CliRunner().invoke(app, ["doctor", str(tmp_path), "--json"])
    answer = json.loads(result.stdout)
    sections = {section["title"]: section["checks"] for section in answer["sections"]}
    assert set(sections) == {"Versions", "Device", f"Data in {tmp_path}", "CausalBench"}
    assert answer["passed"] == (result.exit_code == 0)
    assert sections["CausalBench"][0]["passed"]


def test_a_broken_causalbench_ends_with_1(monkeypatch, tmp_path):
    """In a directory whose name looks like markup."""
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")
    (tmp_path / "[" / "x]").mkdir(parents=True)
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "[" / "x]")])
    assert result.exit_code == 1
    assert "[/x]" in re.sub(r"\s", "", result.stdout)
    assert re.search(r"✗ +causalbench_run can be imported +exit code 1", result.stdout)
    assert re.search(r"✗ +rpe1.h5ad +missing", result.stdout)


def test_stubs_are_told_where_this_package_did_not_make_them(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", "/bin/true")
    path = write_simulated_directory(tmp_path / "simulated", SimulationConfig(genes=12, cells=600, min_cells=20), 0)

    def failed():
        result = CliRunner().invoke(app, ["doctor", str(path), "--json"])
        return [check for check in json.loads(result.stdout)["sections"][2]["checks"] if check["passed"] is False]

    assert failed() == []
    (path / "description.json").unlink()
    assert [check["name"] for check in failed()] == [SUMMARY, *REFERENCE_FILES]
    assert all(re.match(r"a stub of [\d,]+ bytes; the real file has more than", check["found"]) for check in failed())


def test_a_missing_directory_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "Error: data_directory: found no directory" in result.output


def test_the_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).output.strip() == catran_causalbench.__version__


def test_the_shell_completes_commands():
    asked = {"_CATRAN_CAUSALBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "catran-causalbench doc", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="catran-causalbench", env=asked)
    assert result.output.split() == ["doctor"]
