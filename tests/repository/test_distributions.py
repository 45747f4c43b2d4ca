"""Source distribution and wheel: their content, and what an index would show. scripts/test_install.sh installs them."""

import email
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from helpers import REPOSITORY

BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def files_of_the_repository():
    """Return the names of all files under version control, but those that serve the repository alone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]
    return [name for name in names if not name.startswith(".")]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build the source distribution, and the wheel from nothing but its content; return the paths of both."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout")
    work = tmp_path_factory.mktemp("distributions")
    for name in files_of_the_repository():
        (work / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, work / "copy" / name)

    def build(kind, folder):
        command = [sys.executable, "-W", "ignore", "-c", BUILD, kind, str(work)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return work / done.stdout.split()[-1]

    source = build("build_sdist", work / "copy")
    with tarfile.open(source) as archive:
        archive.extractall(work / "unpacked", filter="data")
    return source, build("build_wheel", next((work / "unpacked").iterdir()))


def test_the_source_distribution_is_complete(distributions):
    with tarfile.open(distributions[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert set(files_of_the_repository()) <= held
    assert {"constraints.txt", "CHANGELOG.md", "tests/conftest.py", "docs/conf.py", "CITATION.cff"} <= held
    assert not [name for name in held if "__pycache__" in name]


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        held = set(archive.namelist())
    code = {name for name in files_of_the_repository() if name.startswith("catran_causalbench/")}
    presets = {name for name in files_of_the_repository() if name.startswith("configs/")}
    assert code <= held
    assert {f"catran_causalbench/{name}" for name in presets} <= held
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} == {"catran_causalbench"}
    assert any(name.endswith("LICENSE") for name in held)


def test_the_metadata_say_what_it_is(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    for field in ("Author", "Keywords", "Summary", "Requires-Python", "Project-URL"):
        assert metadata[field], field
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert {"docs", "magic", "test"} <= set(metadata.get_all("Provides-Extra"))


def test_an_index_shows_the_readme_whole(distributions):
    check = pytest.importorskip("twine.commands.check", reason="twine, of the extra test, is not installed")
    assert not check.check([str(path) for path in distributions], strict=True)


@pytest.mark.parametrize("address", ["", "https://example.org/here"])
def test_no_link_of_the_description_leads_nowhere(address, monkeypatch):
    monkeypatch.setattr("setuptools.setup", lambda **options: None)
    readme = runpy.run_path(str(REPOSITORY / "setup.py"))["readme"]
    text = readme(address)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert all(target.startswith("https://") for target in targets)
    assert ("![What CaTran does" in text) == bool(address)
    assert text.count("\n## ") == (REPOSITORY / "README.md").read_text(encoding="utf-8").count("\n## ")
    if address:
        paths = [target.removeprefix(address) for target in targets if target.startswith(address)]
        assert len(paths) > 10
        assert all((REPOSITORY / re.sub(r"^/\w+/HEAD/|#.*", "", path)).exists() for path in paths)
