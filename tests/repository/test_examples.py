"""The commands and the Python of README and user guide run as they are printed, in order, in one fresh folder.

A block that cannot run here has the comment ``<!-- not run: why -->`` before it.
"""

import io
import re
import shlex
import subprocess
import sys
import warnings
from contextlib import redirect_stdout

import pytest
from helpers import REPOSITORY
from typer.testing import CliRunner

from catran_causalbench.cli import app

GUIDE = REPOSITORY / "docs" / "user_guide"
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>bash|python)\n(?P<code>.*?)^```", re.M | re.S
)
PROGRAM = "catran-causalbench"
# What a line needs a shell for: variables, several commands, loops, other programs.
SHELL = re.compile(r"[$;&|<>]")


def pages():
    """Return the README and the pages of the user guide, in the order in which they are read."""
    index = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"^user_guide/(\w+)$", index, re.M)
    assert {f"{name}.md" for name in names} == {path.name for path in GUIDE.glob("*.md")}
    return [REPOSITORY / "README.md", *(GUIDE / f"{name}.md" for name in names)]


def blocks(page):
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give an empty folder, in which all pages run one after the other."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture
def shell(folder, tmp_path, monkeypatch):
    """Run a shell script in which the program is this checkout's."""
    program = tmp_path / PROGRAM
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m catran_causalbench "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{sys.prefix}/bin:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(folder)

    def shell(script):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    return shell


def run_commands(code, shell):
    """Run a block: in this process, which spares imports, where it only calls the program; else in a shell."""
    lines = [line.split(" #")[0] for line in code.replace("\\\n", " ").splitlines() if line.strip()]
    plain = [shlex.split(line, comments=True) for line in lines if line.startswith(PROGRAM) and not SHELL.search(line)]
    if len(plain) < len(lines):
        shell(code)
        return
    for words in plain:
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}"
        assert not re.search(r"^Warning: (?!.*pairs of genes)", result.stderr, re.M), result.stderr


@pytest.mark.guarantee(
    "Documentation", "All commands and Python of README and user guide run as printed, in one fresh folder."
)
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_examples_run_in_order(page, shell):
    names = {}
    for number, block in enumerate(blocks(page), 1):
        if block["reason"]:
            continue
        if block["language"] == "bash":
            run_commands(block["code"], shell)
            continue
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", message=".*pairs of genes")
            exec(compile(block["code"], f"{page.name}, block {number}", "exec"), names)


def test_the_readme_is_short_and_shows_how_to_begin():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert [block["language"] for block in blocks(REPOSITORY / "README.md")] == ["bash", "bash", "python"]
    rows = re.findall(r"^\| (?!method|-)", text, re.M)
    assert len(rows) <= 8


def test_blocks_that_do_not_run_say_why():
    found = [block["reason"] for page in pages() for block in blocks(page)]
    assert found.count(None) >= 15
    assert all(len(reason) > 10 for reason in found if reason)
