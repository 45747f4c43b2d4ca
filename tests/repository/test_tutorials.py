"""The tutorials run from their first cell to the last, in an empty folder, without an error."""

import shlex
import sys

import pytest
from helpers import REPOSITORY

TUTORIALS = sorted((REPOSITORY / "docs" / "tutorials").glob("*.ipynb"))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Let cells that begin with ! call the program of this checkout, and give kernels no settings of the user."""
    path = tmp_path / "bin" / "catran-causalbench"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m catran_causalbench "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")


@pytest.mark.guarantee("Documentation", "The tutorials run from their first cell to the last.")
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_run(path, program, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
    if "decoupler" in path.read_text(encoding="utf-8"):
        pytest.importorskip("decoupler", reason="the extra docs is not installed")
    notebook = nbformat.read(path, as_version=4)
    (tmp_path / "work").mkdir()
    kernel = {"metadata": {"path": str(tmp_path / "work")}}
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources=kernel).execute()
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert pictures >= 1


def test_the_stored_tutorials_have_no_results():
    assert len(TUTORIALS) == 2
    for path in TUTORIALS:
        text = path.read_text(encoding="utf-8")
        assert '"outputs": []' in text
        assert '"output_type"' not in text
