"""Whether a file would pass as a submission to the CausalBench challenge, tried out on a benchmark directory.

Rules of the challenge: one inference class, at least 1,000 edges, none twice, at four fractions of perturbed genes.
The others follow from how the harness loads and scores a file. Every run has a process, a working directory and a time
limit of its own, so that nothing the submitted code does reaches the checker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.npz import read_cells
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.utils.checks import Check

FEWEST_EDGES = 1000
# 40 genes have 1,560 pairs; a fifth of 20 cells is held out, which leaves four of each perturbation to score on.
PRACTICE_WORLD = SimulationConfig(genes=40, cells=1500, min_cells=20)

_DATASETS = ("dataset_rpe1.npz", "dataset_k562.npz")
_LOG_LINES = 3


@dataclass(frozen=True)
class Trial:
    """A run to try: title, training regime and share of the perturbations as the harness takes them, hash seed."""

    title: str
    regime: str
    fraction: float
    hash_seed: str = "0"


TRIALS = (
    Trial("25 % perturbed", "partial_interventional", 0.25),
    Trial("50 % perturbed", "partial_interventional", 0.5),
    Trial("75 % perturbed", "partial_interventional", 0.75),
    Trial("100 % perturbed", "partial_interventional", 1.0),
    Trial("observational", "observational", 0.0),
    # Sets of strings change their order with the hash seed, which every process draws anew.
    Trial("25 % perturbed, again", "partial_interventional", 0.25, hash_seed="1"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes
    ----------
    trial
        What was tried.
    facts
        What :mod:`~catran_causalbench.causalbench.submission.worker` reported.
    failure
        Why there are no edges; empty where there are.
    left_behind
        Files that lay in the working directory afterwards.
    """

    trial: Trial
    facts: dict[str, Any]
    failure: str
    left_behind: list[str]


def check_submission(
    file: Path,
    dataset: Path,
    time_limit: float,
    trials: Sequence[Trial] = TRIALS,
    announce: Callable[[Trial], None] = lambda trial: None,
) -> list[Check]:
    """Run a submission as the challenge does and judge what it returns.

    After a run that gave no edges the others are not started.

    Parameters
    ----------
    file
        The submission, ``main.py`` in the challenge.
    dataset
        From :func:`find_dataset`.
    time_limit
        Seconds that one run may take, its imports included.
    trials
        What to run.
    announce
        Called before every run.

    Raises
    ------
    InputError
        There is no such file, or the harness could not split the data set's cells.
    """
    if not file.is_file():
        raise InputError.of("main", f"no file {str(file)!r}", "a Python file with one inference class")
    outcomes: list[Outcome] = []
    for trial in trials:
        announce(trial)
        outcomes.append(try_out(file.absolute(), dataset, trial, time_limit))
        facts = outcomes[-1].facts
        if facts["stage"] == "start" and "error" in facts:  # the file was not even looked at
            found = f"cells that cannot be split ({facts['error'].strip().splitlines()[-1]})"
            raise InputError.of(str(dataset), found, "several of each label")
        if outcomes[-1].failure:
            break
    checks = [*_loading_checks(outcomes[0]), *(_run_check(outcome) for outcome in outcomes)]
    checks += [Check(trial.title, None, "not run, as an earlier run failed") for trial in trials[len(outcomes) :]]
    answered = [outcome for outcome in outcomes if not outcome.failure]
    return [*checks, *(_answer_checks(answered) if answered else []), _tidiness_check(outcomes)]


def find_dataset(data_directory: Path) -> Path:
    """Find a data set of a benchmark directory on which a submission can be tried.

    Raises
    ------
    InputError
        There is none that the harness could read without unpickling, or it has too few genes for 1,000 edges.
    """
    path = next((data_directory / name for name in _DATASETS if (data_directory / name).exists()), None)
    if path is None:
        raise InputError.of("data_directory", f"no {' or '.join(_DATASETS)} in {str(data_directory)!r}", "one of them")
    _, genes, _ = read_cells(path)  # the harness would unpickle them
    if len(genes) * (len(genes) - 1) < FEWEST_EDGES:
        raise InputError.of("data_directory", f"{len(genes)} genes", f"at least 33, which have {FEWEST_EDGES} pairs")
    return path


def try_out(file: Path, dataset: Path, trial: Trial, time_limit: float) -> Outcome:
    """Run a submission once."""
    with tempfile.TemporaryDirectory(prefix="check-submission-") as scratch:
        report, log, workplace = Path(scratch) / "report.json", Path(scratch) / "log.txt", Path(scratch) / "workplace"
        workplace.mkdir()
        arguments = [str(file), str(dataset.absolute()), trial.regime, str(trial.fraction), str(report)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "catran_causalbench.causalbench.submission.worker", *arguments],
                cwd=workplace,
                env=os.environ | {"PYTHONHASHSEED": trial.hash_seed, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what the submission starts can be ended with it
            )
            try:
                process.wait(time_limit)
            except subprocess.TimeoutExpired:
                pass
            finally:
                ended = process.poll() is not None
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        facts = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"stage": "start"}
        tail = " / ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:])
        left_behind = sorted(str(path.relative_to(workplace)) for path in workplace.rglob("*"))
    return Outcome(trial, facts, _failure(facts, ended, process.returncode, time_limit, tail), left_behind)


def _failure(facts: dict[str, Any], ended: bool, code: int, time_limit: float, tail: str) -> str:
    """Why a run gave no edges, in one line."""
    doing = {"start": "starting", "load": "loading the file", "construct": "building the class", "run": "running it"}
    stage = doing.get(facts["stage"], "ending the process")
    if not ended:
        return f"did not end within {time_limit:g} s; it was {stage}"
    if "error" in facts:
        return f"{facts['error'].strip().splitlines()[-1]} (while {stage})"
    if facts["stage"] != "done" or code:
        return f"the process died with code {code} while {stage}{f': {tail}' if tail else ''}"
    return ""


def _loading_checks(first: Outcome) -> list[Check]:
    candidates: dict[str, str] | None = first.facts.get("candidates")
    if candidates is None:
        return [
            Check("loads as the harness loads it", False, first.failure, "Mend the file so that it can be imported.")
        ]
    imported = [name for name, module in candidates.items() if module != "custom_acqfunc"]
    advice = (
        f"Import the module of {', '.join(imported)} instead of the class: the harness counts imported classes."
        if imported
        else "Keep one direct subclass of AbstractInferenceModel; the harness takes the alphabetically last."
    )
    alone = len(candidates) == 1 and not imported
    built = first.facts["stage"] != "construct"
    return [
        Check("loads as the harness loads it", True, "yes"),
        Check("one inference class", alone, ", ".join(candidates), "" if alone else advice),
        Check(
            "needs no constructor arguments",
            built,
            "yes" if built else first.failure,
            "" if built else "The harness calls the class without arguments: give every parameter a default.",
        ),
    ]


def _run_check(outcome: Outcome) -> Check:
    if outcome.failure:
        advice = "Run the file through causalbench_run to see the whole message; --time-limit allows more time."
        return Check(outcome.trial.title, False, outcome.failure, advice)
    facts = outcome.facts
    return Check(outcome.trial.title, True, f"{len(facts['edges']):,} edges in {facts['seconds']:.1f} s")


def _answer_checks(outcomes: list[Outcome]) -> list[Check]:
    """Judge the edges of all runs together; a rule names the first run that breaks it."""
    rules: list[tuple[str, Callable[[dict[str, Any]], str], str]] = [
        ("a list of (source, target) tuples", _misformed, "Return a list of tuples of two gene names."),
        ("known genes only", _unknown_genes, "Return names out of gene_names; the harness stops at any other."),
        (f"at least {FEWEST_EDGES:,} edges", _too_few, "The challenge refuses smaller networks: lower the threshold."),
        ("no edge twice", _duplicates, "The challenge refuses duplicates; list(dict.fromkeys(edges)) drops them."),
        ("no self-edges", _self_edges, "The harness would count them as true: leave them out."),
        ("sources can be scored", _unscorable, "The harness stops at sources without held-out cells: leave them out."),
    ]
    checks = []
    for name, broken, advice in rules:
        found = next((f"{what}, in {run.trial.title}" for run in outcomes if (what := broken(run.facts))), "")
        checks.append(Check(name, not found, found or f"in all {len(outcomes)} runs", advice if found else ""))
    return [*checks, _repetition_check(outcomes)]


def _misformed(facts: dict[str, Any]) -> str:
    if facts["type"] != "list":
        return f"a {facts['type']}"
    return f"{facts['malformed']:,} other entries such as {facts['first_malformed']}" if facts["malformed"] else ""


def _unknown_genes(facts: dict[str, Any]) -> str:
    unknown = sorted({gene for edge in facts["edges"] for gene in edge} - set(facts["genes"]))
    return f"{len(unknown):,} unknown, such as {unknown[0]!r}" if unknown else ""


def _too_few(facts: dict[str, Any]) -> str:
    distinct = len(set(map(tuple, facts["edges"])))
    return f"{distinct:,} distinct edges" if distinct < FEWEST_EDGES else ""


def _duplicates(facts: dict[str, Any]) -> str:
    repeated = [edge for edge, count in Counter(map(tuple, facts["edges"])).items() if count > 1]
    return f"{len(repeated):,} edges, such as {' → '.join(repeated[0])}" if repeated else ""


def _self_edges(facts: dict[str, Any]) -> str:
    loops = [source for source, target in facts["edges"] if source == target]
    return f"{len(loops):,}, such as {loops[0]} → {loops[0]}" if loops else ""


def _unscorable(facts: dict[str, Any]) -> str:
    known = {source for source, _ in facts["edges"]} & set(facts["genes"])
    without = sorted(known - set(facts["held_out"]))
    return f"{len(without):,} without held-out cells, such as {without[0]}" if without else ""


def _repetition_check(outcomes: list[Outcome]) -> Check:
    name = "same seed, same edges"
    by_setting: dict[tuple[str, float], list[Outcome]] = {}
    for outcome in outcomes:
        by_setting.setdefault((outcome.trial.regime, outcome.trial.fraction), []).append(outcome)
    pairs = [same for same in by_setting.values() if len(same) > 1]
    if not pairs:
        return Check(name, None, "not looked at, as an earlier run failed")
    first, again = (run.facts["edges"] for run in pairs[0])
    if first == again:
        return Check(name, True, "in two processes with different hash seeds")
    common = len(set(map(tuple, first)) & set(map(tuple, again)))
    found = f"{common:,} of {len(first):,} edges came again" if common < len(first) else "the edges' order changed"
    return Check(name, False, found, "Draw from generators seeded with the argument seed; iterate over no set.")


def _tidiness_check(outcomes: list[Outcome]) -> Check:
    files = sorted({name for outcome in outcomes for name in outcome.left_behind})
    shown = f"{', '.join(files[:3])}{' …' if len(files) > 3 else ''}"
    advice = "Write to a temporary folder and remove it, or write nothing." if files else ""
    return Check("no files left in the working directory", not files, shown or "none", advice)
