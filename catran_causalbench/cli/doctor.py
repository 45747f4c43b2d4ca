"""The command that checks whether this machine can run CaTran in CausalBench: versions, device and data files."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench import __version__
from catran_causalbench.cli.checklist import finish_with
from catran_causalbench.cli.console import AsJson, command
from catran_causalbench.errors import InputError
from catran_causalbench.utils.checks import Check

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

PYTHON = ">=3.10,<3.13"
PACKAGE = "catran-causalbench"
# Why setup.py limits what causalbench imports. Where causalbench_run can be imported nevertheless, all is well.
LIMITED = {
    "torchmetrics": "later ones import torchvision, which fails with a CPU build of torch",
    "pandas": "dask 2024.2 is older than pandas 3",
    "dask": "arboreto, which causalbench imports, needs dask's data frames before dask-expr",
    "scprep": "later ones force a pandas that was built for numpy 1",
    "setuptools": "causalbench imports pkg_resources, which later ones no longer have",
}
_INSTALL = "pip install -c constraints.txt . installs the versions that the tests ran with"
_IMPORT_LIMIT = 120


@command
def doctor(
    data_directory: Annotated[Path | None, typer.Argument(help="A benchmark directory to check, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report what this machine has, what is missing or known to fail, and what to do about it.

    The exit code is 1 if a check fails.

    Example: catran-causalbench doctor mydata
    """
    from catran_causalbench.causalbench.manifest import check_data_directory
    from catran_causalbench.causalbench.metadata import find_metadata

    if data_directory is not None and not data_directory.is_dir():
        raise InputError.of("data_directory", f"no directory {str(data_directory)!r}", "a benchmark directory")
    # CausalBench takes seconds to import, and may crash: another process imports it while the rest is checked.
    command_line = [sys.executable, "-c", "import causalscbench.apps.main_app"]
    importing = subprocess.Popen(
        command_line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    sections = {"Versions": check_versions(_installed), "Device": check_device()}
    if data_directory is not None:
        genuine = "references" not in find_metadata(data_directory)  # those that this package made are described
        sections[f"Data in {data_directory}"] = check_data_directory(data_directory, genuine)
    imported = _check_import(importing)
    sections["CausalBench"] = [imported]
    if imported.passed:
        sections["Versions"] = [_tolerated(check) for check in sections["Versions"]]
    finish_with(sections, as_json)


def check_versions(installed: Callable[[str], str | None]) -> list[Check]:
    """Compare versions with those that setup.py requires.

    ``installed`` returns the version of a distribution, or None if it is not installed.
    """
    from packaging.specifiers import SpecifierSet

    running = platform.python_version()
    supported = SpecifierSet(PYTHON).contains(running)
    checks = [Check("python", supported, running, "" if supported else f"causalbench requires Python {PYTHON}")]
    try:
        allowed_of = _allowed()
    except metadata.PackageNotFoundError:
        return [*checks, Check(PACKAGE, False, f"{__version__}, but not installed", _INSTALL)]
    checks.append(Check(PACKAGE, True, __version__))
    for name, allowed in allowed_of.items():
        version = installed(name)
        good = version is not None and allowed.contains(version, prereleases=True)
        reason = f": {LIMITED[name]}" if name in LIMITED else ""
        advice = "" if good else f"pip install '{name}{allowed}'{reason}. {_INSTALL}"
        checks.append(Check(name, good, version or "not installed", advice))
    dask, distributed = installed("dask"), installed("distributed")
    if dask != distributed:
        found = f"dask {dask}, distributed {distributed}"
        checks.append(Check("dask with distributed", False, found, f"They must be equal. {_INSTALL}"))
    magic = installed("magic-impute")
    found = magic or "not installed; only needed for data.preprocessing: magic"
    return [*checks, Check("magic-impute", True if magic else None, found)]


def check_device() -> list[Check]:
    """Report the cores and GPUs that training can use."""
    from catran_causalbench.utils.hardware import available_cores

    try:
        import torch
    except Exception as error:  # a broken build raises whatever it likes
        return [Check("torch", False, f"{type(error).__name__}: {error}", _INSTALL)]
    checks = [Check("CPU", True, f"{available_cores()} cores available, torch uses {torch.get_num_threads()} threads")]
    if not torch.cuda.is_available():
        return [*checks, Check("CUDA GPU", None, "none; the preset evidence needs none, paper trains on the CPU")]
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        checks.append(Check(f"CUDA GPU {number}", True, f"{device.name}, {device.total_memory / 2**30:.0f} GiB"))
    return checks


def _allowed() -> dict[str, SpecifierSet]:
    """Return the versions that setup.py allows, without extras, by distribution."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in metadata.requires(PACKAGE) or ()]
    return {one.name: one.specifier for one in requirements if not one.marker or one.marker.evaluate({"extra": ""})}


def _tolerated(check: Check) -> Check:
    """Take a failure for a remark if the limit was set for causalbench's sake and causalbench can be imported."""
    if check.passed is not False or check.name not in LIMITED:
        return check
    return replace(check, passed=None, found=f"{check.found}, with which the tests did not run")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_import(importing: subprocess.Popen[str]) -> Check:
    name = "causalbench_run can be imported"
    try:
        _, errors = importing.communicate(timeout=_IMPORT_LIMIT)
    except subprocess.TimeoutExpired:
        importing.kill()
        importing.communicate()
        return Check(name, False, f"not within {_IMPORT_LIMIT} s", _INSTALL)
    if importing.returncode:
        return Check(name, False, (errors.strip().splitlines() or [f"exit code {importing.returncode}"])[-1], _INSTALL)
    return Check(name, True, "yes")
