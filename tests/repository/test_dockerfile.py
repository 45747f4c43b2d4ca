"""The Dockerfile, without Docker: its layout, and that every step finds what it needs."""

import fnmatch
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import find_packages

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rehearsal():
    spec = importlib.util.spec_from_file_location(
        "rehearse", REPOSITORY / "scripts" / "tools" / "rehearse_dockerfile.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["rehearse"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def steps(rehearsal):
    return rehearsal.instructions((REPOSITORY / "Dockerfile").read_text())


def texts(steps, instruction):
    return [text for name, text in steps if name == instruction]


def final_stage(steps):
    return steps[max(number for number, (name, _) in enumerate(steps) if name == "FROM") :]


def test_continued_lines_and_comments_are_read(rehearsal):
    text = '# a\nFROM x AS y\nRUN one \\\n# between\n  && two\n\nCMD ["a"]\n'
    assert rehearsal.instructions(text) == [("FROM", "x AS y"), ("RUN", "one   && two"), ("CMD", '["a"]')]


def ignored(path):
    """Apply Docker's rule: the last pattern that matches the path or a folder above it decides; ! includes it again."""
    verdict = False
    parents = [path, *map(str, Path(path).parents)][:-1]
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!").removeprefix("**/")
        ways = [part for parent in parents for part in (parent, Path(parent).name if "**/" in pattern else parent)]
        if any(fnmatch.fnmatchcase(way, bare) for way in ways):
            verdict = not pattern.startswith("!")
    return verdict


def test_the_context_holds_what_is_copied_and_no_more(steps):
    copied = [word for text in texts(steps, "COPY") if not text.startswith("--from") for word in text.split()[:-1]]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists()
        assert not ignored(source)
    assert not ignored("catran_causalbench/causalbench/build/directory.py")
    for path in (".git/config", ".venv/bin/python", "tests/conftest.py", "catran_causalbench/__pycache__/a.pyc"):
        assert ignored(path), path


def test_what_setup_needs_is_copied(steps):
    copied = " ".join(texts(steps, "COPY")).split()
    for name in ("setup.py", "README.md", "LICENSE", "configs", "constraints.txt", "pyproject.toml"):
        assert name in copied
    assert find_packages(str(REPOSITORY), include=["catran_causalbench*"])[0] in copied


def test_the_layout_is_the_challenges(steps):
    """The challenge wants main.py and requirements.txt in /code, where the final stage works."""
    build = next(text for text in texts(steps, "RUN") if "pip install" in text)
    assert "plugin.py main.py" in build
    assert re.search(r">requirements\.txt .*pip install .*-r requirements\.txt", build)
    final = final_stage(steps)
    assert "--from=build /code /code" in texts(final, "COPY")
    assert texts(final, "WORKDIR")[-1] == "/code"


def test_main_has_one_class():
    text = (REPOSITORY / "catran_causalbench" / "plugin.py").read_text()
    assert len(re.findall(r"^class \w+\(AbstractInferenceModel\)", text, flags=re.MULTILINE)) == 1
    assert not re.search(r"^\s*(from|import) \.", text, flags=re.MULTILINE), "it must stand alone"


def test_the_container_runs_as_nobody_special_with_no_settings(steps):
    names = [name for name, _ in steps]
    user = texts(final_stage(steps), "USER")
    assert user == ["1000"]
    assert any("useradd --uid 1000" in text for text in texts(final_stage(steps), "RUN"))
    assert names.index("USER") < names.index("CMD") == len(steps) - 1
    assert not any("CATRAN" in text for text in texts(steps, "ENV")), "it would change what the challenge runs"


def test_the_compiler_stays_behind(steps):
    assert not any("apt-get" in text for text in texts(final_stage(steps), "RUN"))


def test_the_commands_of_the_demo_exist(steps):
    (command,) = texts(steps, "CMD")
    shell, flag, script = json.loads(command)
    assert (shell, flag) == ("sh", "-c")
    subprocess.run(["sh", "-n", "-c", script], check=True)
    programs = {part.split()[0] for part in script.split("&&")} - {"cd", "export"}
    assert programs == {"catran-causalbench", "causalbench_run"}
    assert all((Path(sys.executable).parent / program).exists() for program in programs)
    from typer.main import get_command

    from catran_causalbench.cli import app

    commands = get_command(app).commands
    for part in (part.split() for part in script.split("&&")):
        if part[0] == "catran-causalbench":
            options = {option for parameter in commands[part[1]].params for option in parameter.opts}
            assert {word for word in part if word.startswith("--")} <= options


def test_every_run_is_valid_shell(steps):
    for text in texts(steps, "RUN"):
        subprocess.run(["sh", "-n", "-c", text], check=True)
