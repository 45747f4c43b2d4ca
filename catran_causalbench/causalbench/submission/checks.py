"""Whether a file would pass as a submission to the CausalBench challenge, tried out on a benchmark directory.

The challenge asks for one inference class and for at least 1,000 edges without duplicates at four fractions of
perturbed genes. The other rules follow from how CausalBench loads and scores a file. Every trial has a process, a
working directory and a time limit of its own, so that nothing the submitted code does reaches the checker.
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

from catran_causalbench.causalbench.manifest import dataset_file
from catran_causalbench.causalbench.npz import read_cells
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.utils.checks import Check

FEWEST_EDGES = 1000
# 40 genes have 1,560 pairs; a fifth of 20 cells is held out, which leaves four of each perturbation to score on.
PRACTICE_SETTINGS = SimulationConfig(genes=40, cells=1500, min_cells=20)
# The name under which CausalBench loads a submission.
LOADED_AS = "custom_acqfunc"

_LOG_LINES = 3
_STAGES = {"start": "starting", "load": "loading the file", "construct": "building the class", "run": "running it"}
# In the order of _violations.
_ADVICE = {
    "a list of (source, target) tuples": "Return a list of tuples of two gene names.",
    "known genes only": "Return names out of gene_names; CausalBench stops at any other.",
    f"at least {FEWEST_EDGES:,} edges": "The challenge refuses smaller networks: lower the threshold.",
    "no edge twice": "The challenge refuses duplicates; list(dict.fromkeys(edges)) drops them.",
    "no self-edges": "CausalBench would count them as true: leave them out.",
    "sources can be scored": "CausalBench stops at sources without held-out cells: leave them out.",
}


@dataclass(frozen=True)
class Trial:
    """One run to try: title, training regime and share of the perturbations as CausalBench takes them, hash seed."""

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
class TrialResult:
    """The result of a trial."""

    trial: Trial
    facts: dict[str, Any]  # the report of catran_causalbench.causalbench.submission.worker
    failure: str  # why there are no edges; empty if there are
    left_behind: list[str]  # files in the working directory afterwards


def check_submission(
    file: Path,
    dataset: Path,
    time_limit: float,
    trials: Sequence[Trial] = TRIALS,
    announce: Callable[[Trial], None] = lambda trial: None,
) -> list[Check]:
    """Run a submission (``main.py`` in the challenge) as the challenge does and check what it returns.

    Each trial may take `time_limit` seconds, its imports included, and is announced before it starts. After one that
    gave no edges the others are not started. The data set is that of :func:`find_dataset`.

    Raises
    ------
    InputError
        There is no such file, or CausalBench could not split the data set's cells.
    """
    if not file.is_file():
        raise InputError.of("main", f"no file {str(file)!r}", "a Python file with one inference class")
    results: list[TrialResult] = []
    for trial in trials:
        announce(trial)
        results.append(try_out(file.absolute(), dataset, trial, time_limit))
        facts = results[-1].facts
        if facts["stage"] == "start" and "error" in facts:  # the file was not even looked at
            found = f"cells that cannot be split ({_last_line(facts['error'])})"
            raise InputError.of(str(dataset), found, "several of each label")
        if results[-1].failure:
            break
    checks = [*_loading_checks(results[0]), *map(_trial_check, results)]
    checks += [Check(trial.title, None, "not run, as an earlier run failed") for trial in trials[len(results) :]]
    answered = [result for result in results if not result.failure]
    if answered:
        checks += [*_answer_checks(answered), _repetition_check(answered)]
    return [*checks, _tidiness_check(results)]


def find_dataset(data_directory: Path) -> Path:
    """Find a data set of a benchmark directory on which a submission can be tried.

    Raises
    ------
    InputError
        There is none that can be read without unpickling, or it has too few genes for 1,000 edges.
    """
    names = [dataset_file(line) for line in ("rpe1", "k562")]
    path = next((data_directory / name for name in names if (data_directory / name).exists()), None)
    if path is None:
        raise InputError.of("data_directory", f"no {' or '.join(names)} in {str(data_directory)!r}", "one of them")
    _, genes, _ = read_cells(path)  # CausalBench would unpickle them
    if len(genes) * (len(genes) - 1) < FEWEST_EDGES:
        raise InputError.of("data_directory", f"{len(genes)} genes", f"at least 33, which have {FEWEST_EDGES} pairs")
    return path


def try_out(file: Path, dataset: Path, trial: Trial, time_limit: float) -> TrialResult:
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
        stage, failure = _STAGES.get(facts["stage"], "ending the process"), ""
        if not ended:
            failure = f"did not end within {time_limit:g} s; it was {stage}"
        elif "error" in facts:
            failure = f"{_last_line(facts['error'])} (while {stage})"
        elif facts["stage"] != "done" or process.returncode:
            tail = " / ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:])
            failure = f"the process died with code {process.returncode} while {stage}{f': {tail}' if tail else ''}"
        left_behind = sorted(str(path.relative_to(workplace)) for path in workplace.rglob("*"))
    return TrialResult(trial, facts, failure, left_behind)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def _loading_checks(first: TrialResult) -> list[Check]:
    name = "loads as CausalBench loads it"
    candidates: dict[str, str] | None = first.facts.get("candidates")
    if candidates is None:
        return [Check(name, False, first.failure, "Mend the file so that it can be imported.")]
    imported = [name for name, module in candidates.items() if module != LOADED_AS]
    advice = "Keep one direct subclass of AbstractInferenceModel; CausalBench takes the alphabetically last."
    if imported:
        advice = (
            f"Import the module of {', '.join(imported)} instead of the class: CausalBench counts imported classes."
        )
    one = len(candidates) == 1 and not imported
    built = first.facts["stage"] != "construct"
    found, remedy = "yes", ""
    if not built:
        found = first.failure
        remedy = "CausalBench calls the class without arguments: give every parameter a default."
    return [
        Check(name, True, "yes"),
        Check("one inference class", one, ", ".join(candidates), "" if one else advice),
        Check("needs no constructor arguments", built, found, remedy),
    ]


def _trial_check(result: TrialResult) -> Check:
    if result.failure:
        advice = "Run the file through causalbench_run to see the whole message; --time-limit allows more time."
        return Check(result.trial.title, False, result.failure, advice)
    facts = result.facts
    return Check(result.trial.title, True, f"{len(facts['edges']):,} edges in {facts['seconds']:.1f} s")


def _answer_checks(results: list[TrialResult]) -> list[Check]:
    """Check the edges of all trials together; a rule names the first trial that breaks it."""
    violations = [_violations(result.facts) for result in results]
    checks = []
    for (name, advice), of_trials in zip(_ADVICE.items(), zip(*violations, strict=True), strict=True):
        broken = [
            f"{found}, in {result.trial.title}" for found, result in zip(of_trials, results, strict=True) if found
        ]
        if broken:
            checks.append(Check(name, False, broken[0], advice))
        else:
            checks.append(Check(name, True, f"in all {len(results)} runs"))
    return checks


def _violations(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return what breaks each rule of _ADVICE, empty where nothing does."""
    edges = Counter(map(tuple, facts["edges"]))
    genes = set(facts["genes"])
    form = "" if facts["type"] == "list" else f"a {facts['type']}"
    if facts["malformed"]:
        form = f"{facts['malformed']:,} other entries such as {facts['first_malformed']}"
    unknown = sorted({gene for edge in edges for gene in edge} - genes)
    repeated = [edge for edge, count in edges.items() if count > 1]
    loops = [source for source, target in facts["edges"] if source == target]
    unscored = sorted({source for source, _ in edges} & genes - set(facts["held_out"]))
    return (
        form,
        f"{len(unknown):,} unknown, such as {unknown[0]!r}" if unknown else "",
        f"{len(edges):,} distinct edges" if len(edges) < FEWEST_EDGES else "",
        f"{len(repeated):,} edges, such as {' → '.join(repeated[0])}" if repeated else "",
        f"{len(loops):,}, such as {loops[0]} → {loops[0]}" if loops else "",
        f"{len(unscored):,} without held-out cells, such as {unscored[0]}" if unscored else "",
    )


def _repetition_check(results: list[TrialResult]) -> Check:
    name = "same seed, same edges"
    by_setting: dict[tuple[str, float], list[list[Any]]] = {}
    for result in results:
        by_setting.setdefault((result.trial.regime, result.trial.fraction), []).append(result.facts["edges"])
    first, again = next((answers for answers in by_setting.values() if len(answers) > 1), (None, None))
    if first is None or again is None:
        return Check(name, None, "not looked at, as an earlier run failed")
    if first == again:
        return Check(name, True, "in two processes with different hash seeds")
    common = len(set(map(tuple, first)) & set(map(tuple, again)))
    found = f"{common:,} of {len(first):,} edges came again" if common < len(first) else "the edges' order changed"
    return Check(name, False, found, "Draw from generators seeded with the argument seed; iterate over no set.")


def _tidiness_check(results: list[TrialResult]) -> Check:
    files = sorted({name for result in results for name in result.left_behind})
    shown = f"{', '.join(files[:3])}{' …' if len(files) > 3 else ''}"
    advice = "Write to a temporary folder and remove it, or write nothing." if files else ""
    return Check("no files left in the working directory", not files, shown or "none", advice)
