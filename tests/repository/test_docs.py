"""The pages: their links lead somewhere, and the commands and files they name exist."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from helpers import REPOSITORY
from typer.main import get_command

from catran_causalbench.cli import app

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
COMMANDS = get_command(app).commands


def ids(path):
    return str(path.relative_to(REPOSITORY))


def anchors(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_to_pages_and_headings(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), f"{target}: no such heading"


def test_every_page_is_in_the_index():
    docs = REPOSITORY / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8").splitlines()
    for page in [*docs.rglob("*.md"), *docs.rglob("*.ipynb")]:
        assert page.name == "index.md" or str(page.relative_to(docs).with_suffix("")) in index


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo", reason="the extra docs is not installed")
    pytest.importorskip("myst_nb", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HTTPS_PROXY": "http://127.0.0.1:9"}  # no network
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "FittedNetwork" in (tmp_path / "api.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_of_the_repository_are_where_the_page_says(page):
    for name in re.findall(r"(?<![\w/.])(?:scripts|configs|tests)/[\w/.-]*\w", page.read_text(encoding="utf-8")):
        assert (REPOSITORY / name).exists(), name


def command_lines(text):
    """Yield every call of the command in a page's blocks, as words."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S) + re.findall(r"^(?: {4}.+\n)+", text, re.M)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        found = re.search(r"\bcatran[-_]causalbench (\w.*)", re.sub(r'"\$\(.*?\)"', "", line))
        if found:
            yield shlex.split(found[1], comments=True)


def options_of(command):
    """Return the options of a command, with the values that some of them may take."""
    return {option for parameter in COMMANDS[command].params for option in [*parameter.opts, *parameter.secondary_opts]}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_have_the_options_that_the_page_shows(page):
    for command, *words in command_lines(page.read_text(encoding="utf-8")):
        assert command in COMMANDS
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= options_of(command), command


def test_commands_are_found_in_both_kinds_of_blocks():
    text = (
        "Text.\n\n    X=1 catran-causalbench fit a \\\n        -o b\n\n```bash\ncatran-causalbench sweep c  # d\n```\n"
    )
    assert sorted(command_lines(text)) == [["fit", "a", "-o", "b"], ["sweep", "c"]]
