"""submit.sh with stand-ins for the programs it calls."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "submit.sh"
PROGRAMS = ("catran-causalbench", "docker", "evalai")


@pytest.fixture
def submit(tmp_path):
    """Run the script; the stand-ins record how they were called."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    log.touch()
    for system in ("bash", "env", "dirname", "cat"):
        (folder / system).symlink_to(next(p for p in (Path("/usr/bin") / system, Path("/bin") / system) if p.exists()))
    for program in PROGRAMS:
        stand_in = folder / program
        settings = "${CATRAN_CONFIG-}${CATRAN_METHOD+ and a method}"
        stand_in.write_text(
            f'#!/bin/bash\nprintf "%s\\n" "{program} $* {settings}" >>"{log}"\n[ "${{FAIL-}}" != {program} ]\n'
        )
        stand_in.chmod(0o755)

    def run(*arguments, missing=(), **variables):
        for program in missing:
            (folder / program).unlink()
        finished = subprocess.run(
            ["/bin/bash", SCRIPT, *arguments],
            env={"PATH": str(folder), **variables},
            capture_output=True,
            text=True,
        )
        return finished.returncode, finished.stdout + finished.stderr, log.read_text().splitlines()

    return run


def test_help_and_dry_run_call_nothing(submit):
    code, text, calls = submit("--help")
    assert (code, calls) == (0, [])
    assert text.startswith("Usage: scripts/submit.sh [options] PHASE")
    code, text, calls = submit("--dry-run", "--gpu", "--tag", "mine:1", "phase-7", missing=PROGRAMS)
    assert (code, calls) == (0, [])
    assert "check-submission" in text
    assert "docker build --tag mine:1 --build-arg TORCH_INDEX=" in text
    assert "evalai push mine:1 --phase phase-7" in text


def test_the_image_is_checked_built_and_pushed_in_this_order(submit):
    code, _, calls = submit("phase-7", CATRAN_CONFIG="demo", CATRAN_METHOD="random")
    assert code == 0
    assert calls == [
        "docker info demo and a method",
        "catran-causalbench check-submission ",  # the settings of this shell are not the image's
        f"docker build --tag catran-causalbench:latest {SCRIPT.parents[1]} demo and a method",
        "evalai push catran-causalbench:latest --phase phase-7 demo and a method",
    ]


@pytest.mark.parametrize(("failing", "last"), [("catran-causalbench", "catran-causalbench"), ("evalai", "evalai")])
def test_a_failing_step_is_the_last(submit, failing, last):
    code, text, calls = submit("phase-7", FAIL=failing)
    assert code == 1
    assert "FAILED: " in text
    assert calls[-1].startswith(last)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_program_is_named(submit, program):
    code, text, calls = submit("phase-7", missing=[program])
    assert (code, calls) == (2, [])
    assert f"Error: found no program {program} in PATH" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found no PHASE"),
        (["a", "b"], "found two phases, a and b"),
        (["--fast", "a"], "unknown option --fast"),
        (["--tag"], "--tag needs a name"),
    ],
)
def test_wrong_arguments_are_refused(submit, arguments, message):
    code, text, calls = submit(*arguments)
    assert (code, calls) == (2, [])
    assert message in text


def test_an_engine_that_is_off_is_told(submit):
    code, text, _ = submit("phase-7", FAIL="docker")
    assert code == 2
    assert "its engine does not answer" in text


def test_the_script_may_be_run():
    assert os.access(SCRIPT, os.X_OK)
