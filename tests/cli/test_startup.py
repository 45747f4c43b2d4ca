"""What starting the command loads: nothing that takes seconds to import."""

import os
import subprocess
import sys

import pytest

import catran_causalbench as catran

HEAVY = {"torch", "pytorch_lightning", "causalscbench", "pandas", "scipy", "scanpy", "anndata", "matplotlib", "numba"}
COMMAND = "import sys; sys.argv = ['catran-causalbench', {}]; from catran_causalbench.cli import app; app()"


def loaded_by(code, **variables):
    """Run code in a process of its own; return which of the heavy libraries it loaded, and what it printed."""
    heavy = f"print(*{HEAVY} & {{*sys.modules}}, sep=chr(10), file=sys.stderr)"
    report = f"import atexit, sys; atexit.register(lambda: {heavy}); "
    environment = {**os.environ, **variables}
    finished = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return HEAVY & {*finished.stderr.splitlines()}, finished.stdout


def test_the_package_loads_its_names_on_first_use():
    names = "CatranConfig, PerturbationDataset, load_config, presets, validate_dataset"
    assert loaded_by(f"import catran_causalbench; from catran_causalbench import {names}")[0] == set()


@pytest.mark.parametrize(
    ("argument", "shown"), [("--version", "0."), ("--help", "sweep"), ("presets", "evidence"), ("plugin", "plugin.py")]
)
def test_light_commands_stay_light(argument, shown):
    loaded, text = loaded_by(COMMAND.format(repr(argument)))
    assert shown in text
    assert loaded == set()


def test_completion_in_the_shell_is_light():
    completion = {"_CATRAN_CAUSALBENCH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "catran-causalbench sw"}
    loaded, text = loaded_by(COMMAND.format(""), **completion)
    assert "sweep" in text
    assert loaded == set()


def test_the_check_notices_what_is_loaded():
    assert loaded_by("import scipy")[0] == {"scipy"}


def test_completion_in_python_offers_the_public_names_only():
    assert loaded_by("import catran_causalbench as catran; print(*dir(catran))")[0] == set()
    offered = set(loaded_by("import catran_causalbench as catran; catran.fit; print(*dir(catran))")[1].split())
    assert offered == {*catran.__all__, "__version__"}
    assert all(hasattr(catran, name) for name in offered)
