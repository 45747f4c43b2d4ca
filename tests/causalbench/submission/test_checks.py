"""check-submission finds what the challenge refuses, whatever the submitted code does."""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.submission import checks as submission
from catran_causalbench.causalbench.submission.checks import Trial, TrialResult, check_submission, find_dataset
from catran_causalbench.causalbench.submission.worker import describe
from catran_causalbench.cli import app
from catran_causalbench.errors import InputError

IMPORTS = """
from causalscbench.models.abstract_model import AbstractInferenceModel
"""
# Edges in the order of the columns: valid in every run.
GOOD = (
    IMPORTS
    + """
class Mine(AbstractInferenceModel):
    def __call__(self, expression_matrix, interventions, gene_names, training_regime, seed=0):
        return [(str(a), str(b)) for a in gene_names for b in gene_names if a != b][:1100]
"""
)
ONE = (Trial("25 % perturbed", "partial_interventional", 0.25),)
TWICE = (*ONE, Trial("25 % perturbed, again", "partial_interventional", 0.25, hash_seed="1"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("practice") / "simulated"
    return write_simulated_directory(path, submission.PRACTICE_SETTINGS, seed=0)


def failures(directory, tmp_path, text, trials=ONE, time_limit=60.0):
    """Return the names and findings of the checks that a file fails."""
    (tmp_path / "main.py").write_text(text)
    checks = check_submission(tmp_path / "main.py", find_dataset(directory), time_limit, trials)
    assert all(check.advice for check in checks if check.passed is False)
    return {check.name: check.found for check in checks if check.passed is False}


def test_a_good_file_passes_at_every_fraction(directory, tmp_path):
    (tmp_path / "main.py").write_text(GOOD)
    arguments = ["check-submission", str(tmp_path / "main.py"), "--data-directory", str(directory), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    (section,) = answer["sections"]
    checks = section["checks"]
    assert answer["passed"]
    assert all(check["passed"] for check in checks)
    found = {check["name"]: check["found"] for check in checks}
    for title in ("25 % perturbed", "50 % perturbed", "75 % perturbed", "100 % perturbed", "observational"):
        assert re.fullmatch(r"1,100 edges in \d+\.\d s", found[title])


def test_every_fault_of_the_edges_is_found(directory, tmp_path):
    text = GOOD.replace(
        "        return",
        """
        open("model.pl", "w").close()
        a, b, c = map(str, gene_names[:3])
        return [(a, b)] * 2 + [(c, c), (a, "nobody"), [a, c], (a, b, 1)]
        return""",
    )
    found = failures(directory, tmp_path, text)
    assert found.pop("a list of (source, target) tuples").startswith("2 other entries such as ['ENSGSIM")
    assert found == {
        "known genes only": "1 unknown, such as 'nobody', in 25 % perturbed",
        "at least 1,000 edges": "3 distinct edges, in 25 % perturbed",
        "no edge twice": "1 edges, such as ENSGSIM00000000 → ENSGSIM00000001, in 25 % perturbed",
        "no self-edges": "1, such as ENSGSIM00000002 → ENSGSIM00000002, in 25 % perturbed",
        "no files left in the working directory": "model.pl",
    }


def test_several_classes_are_refused(directory, tmp_path):
    text = (
        GOOD
        + "\nfrom causalscbench.models.random_network import FullyConnected"
        + "\nclass Other(AbstractInferenceModel): pass\n"
    )
    found = failures(directory, tmp_path, text)
    assert found["one inference class"] == "FullyConnected, Mine, Other"
    assert "TypeError" in found["25 % perturbed"] or "NotImplementedError" in found["25 % perturbed"]


def test_edges_in_the_order_of_a_set_are_refused(directory, tmp_path):
    text = GOOD.replace("return [", "return list({").replace("if a != b][:1100]", "if a != b})[:1100]")
    found = failures(directory, tmp_path, text, TWICE)
    assert list(found) == ["same seed, same edges"]


FAILURES = {
    "import sys\nsys.exit(3)": ("loads as CausalBench loads it", r"SystemExit: 3 \(while loading the file\)"),
    GOOD.replace("    def __call__", "    def __init__(self, size): pass\n    def __call__"): (
        "needs no constructor arguments",
        r"missing 1 required positional argument: 'size' \(while building the class\)",
    ),
    GOOD.replace(
        "return", "import os, sys; print('last words', file=sys.stderr); sys.stderr.flush(); os.abort(); return"
    ): (
        "25 % perturbed",
        r"the process died with code -6 while running it: .*last words",
    ),
}


@pytest.mark.parametrize("text", FAILURES)
def test_a_failure_is_reported_with_its_stage_and_ends_the_trials(directory, tmp_path, text):
    (tmp_path / "main.py").write_text(text)
    announced = []
    checks = check_submission(tmp_path / "main.py", find_dataset(directory), 60, TWICE, announced.append)
    name, message = FAILURES[text]
    (found,) = (check.found for check in checks if check.name == name)
    assert re.search(message, found)
    assert announced == [TWICE[0]]
    assert [check.passed for check in checks if check.name == TWICE[1].title] == [None]


def test_an_endless_loop_ends_at_the_time_limit(directory, tmp_path):
    text = f"import subprocess\nchild = subprocess.Popen(['sleep', '1000.{os.getpid()}'])\nwhile True: pass"
    found = failures(directory, tmp_path, text, time_limit=4)
    pattern = r"did not end within 4 s; it was (starting|loading the file)"  # starting, on a busy machine
    assert re.fullmatch(pattern, found["loads as CausalBench loads it"])
    assert not sleepers()


def sleepers():
    """Return the processes that the endless loop started."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [command for command in found if command == ["sleep", f"1000.{os.getpid()}"]]


@pytest.mark.guarantee(
    "Faults",
    "Commands that a scheduler or container ends (`SIGTERM`, exit code 143), and a sweep after Ctrl-C, "
    "leave no temporary file and no process.",
)
def test_terminated_it_leaves_nothing_behind(directory, tmp_path):
    """A scheduler or a container sends SIGTERM."""
    (tmp_path / "main.py").write_text(
        f"import subprocess\nchild = subprocess.Popen(['sleep', '1000.{os.getpid()}'])\nwhile True: pass"
    )
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "catran_causalbench",
            "check-submission",
            tmp_path / "main.py",
            "--data-directory",
            directory,
        ],
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not sleepers():  # pytest's own limit ends a loop without end
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate()
    assert (process.returncode, errors) == (143, "Terminated.\n")
    assert not list((tmp_path / "temporary").iterdir())
    assert not sleepers()


def test_sources_without_held_out_cells_are_found(monkeypatch, tmp_path):
    genes = [f"g{number}" for number in range(40)]
    edges = [[a, b] for a in genes for b in genes if a != b][:1000]
    facts = {
        "stage": "done",
        "seconds": 1.0,
        "genes": genes,
        "held_out": genes[1:],
        "candidates": {"M": "custom_acqfunc"},
    }
    facts |= {"type": "list", "edges": edges, "malformed": 0, "first_malformed": ""}
    monkeypatch.setattr(submission, "try_out", lambda file, dataset, trial, *_: TrialResult(trial, facts, "", []))
    (tmp_path / "main.py").touch()
    wrong = [check for check in check_submission(tmp_path / "main.py", tmp_path, 1, ONE) if check.passed is False]
    assert [(check.name, check.found) for check in wrong] == [
        ("sources can be scored", "1 without held-out cells, such as g0, in 25 % perturbed")
    ]


@pytest.mark.parametrize("answer", [None, (("a", "b"),), np.array([["a", "b"]])])
def test_the_type_of_an_answer_is_reported(answer):
    assert describe(answer)["type"] == type(answer).__name__


def test_names_may_be_numpy_strings():
    assert describe([(np.str_("a"), np.str_("b"))])["edges"] == [["a", "b"]]


def test_unusable_input_exits_with_2(tmp_path, directory):
    runner = CliRunner()
    missing = runner.invoke(app, ["check-submission", str(tmp_path / "none.py"), "--data-directory", str(directory)])
    assert missing.exit_code == 2
    assert "Error: main: found no file" in missing.output
    np.savez(
        tmp_path / "dataset_rpe1.npz",
        var_names=np.array(["a"], dtype=object),
        interventions=np.array(["a"]),
        expression_matrix=np.zeros((1, 1)),
    )
    pickled = runner.invoke(app, ["check-submission", "--data-directory", str(tmp_path)])
    assert pickled.exit_code == 2
    assert "none of them pickled" in pickled.output


def test_cells_that_cannot_be_split_are_an_input_error(directory, tmp_path):
    with np.load(directory / "dataset_rpe1.npz") as arrays:
        changed = {**arrays, "interventions": np.array(["lonely", *arrays["interventions"][1:]])}
    np.savez(tmp_path / "dataset_rpe1.npz", **changed)
    (tmp_path / "main.py").write_text(GOOD)
    with pytest.raises(InputError, match=r"dataset_rpe1\.npz: found cells that cannot be split \(ValueError"):
        check_submission(tmp_path / "main.py", find_dataset(tmp_path), 60, ONE)
