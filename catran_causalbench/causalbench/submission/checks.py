"""Checks of a submission to the CausalBench challenge, which run it on a benchmark directory.

The challenge asks for one inference class and for at least 1,000 edges without duplicates at four fractions of
perturbed genes. The other rules follow from how CausalBench loads and scores a file. Every trial has its own process,
working directory and time limit, so that the submitted code cannot affect the checks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.manifest import dataset_file
from catran_causalbench.causalbench.npz import read_cells
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.utils.checks import Check
from catran_causalbench.utils.hardware import available_cores

FEWEST_EDGES = 1000
# 40 genes have 1,560 pairs; a fifth of 20 cells is held out, which leaves four of each perturbation to score on.
PRACTICE_SETTINGS = SimulationConfig(genes=40, cells=1500, min_cells=20)
# The name under which CausalBench loads a submission.
LOADED_AS = "custom_acqfunc"

_LOG_LINES = 3
_QUICK = 0.1  # share of the time limit: trials that take less run side by side, though this slows them down
_POLL = 0.1  # seconds
_STAGES = {"start": "starting", "load": "loading the file", "construct": "building the class", "run": "running it"}
# Rules for edges, in the order of _faults, and what to do about a fault.
_ADVICE = {
    "a list of (source, target) tuples": "Return a list of tuples of two gene names.",
    "known genes only": "Return names from gene_names; CausalBench stops at any other.",
    f"at least {FEWEST_EDGES:,} edges": "The challenge refuses smaller networks: lower the threshold.",
    "no edge twice": "The challenge refuses duplicates; list(dict.fromkeys(edges)) drops them.",
    "no self-edges": "CausalBench would count them as true: leave them out.",
    "sources can be scored": "CausalBench stops at sources without held-out cells: leave them out.",
}


@dataclass(frozen=True)
class Trial:
    """One run: its title, regime and share of the perturbations (as CausalBench takes them), and Python's hash seed."""

    title: str
    regime: str
    fraction: float
    hash_seed: str = "0"


TRIALS = (
    *(Trial(f"{percent} % perturbed", "partial_interventional", percent / 100) for percent in (25, 50, 75, 100)),
    Trial("observational", "observational", 0.0),
    # The order of a set of strings depends on the hash seed, which every process draws.
    Trial("25 % perturbed, again", "partial_interventional", 0.25, hash_seed="1"),
)


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial."""

    trial: Trial
    facts: dict[str, Any]  # the report of the worker
    failure: str  # why there are no edges; empty if there are
    left_behind: list[str]  # files in the working directory afterwards


def check_submission(
    file: Path,
    dataset: Path,
    time_limit: float,
    trials: Sequence[Trial] = TRIALS,
    announce: Callable[[Trial], None] = lambda trial: None,
) -> list[Check]:
    """Run a submission (``main.py`` in the challenge) as the challenge does, and check what it returns.

    Each trial may take `time_limit` seconds, imports included, and is announced before it starts. The first runs alone;
    if it is quick, the others run two at a time, where there are two cores. After a trial without edges, no other is
    started. For the data set see :func:`find_dataset`. Raise InputError if there is no such file, or
    if CausalBench could not split the data set's cells.
    """
    if not file.is_file():
        raise InputError.of("main", f"no file {str(file)!r}", "a Python file with one inference class")
    results: list[TrialResult] = []
    together = 1
    while len(results) < len(trials) and not any(result.failure for result in results):
        start = time.monotonic()
        batch = trials[len(results) : len(results) + together]
        results += _try_out_together(file.absolute(), dataset, batch, time_limit, announce)
        facts = results[0].facts
        if facts["stage"] == "start" and "error" in facts:  # the file was not loaded yet
            found = f"cells that cannot be split ({_last_line(facts['error'])})"
            raise InputError.of(str(dataset), found, "several of each label")
        together = min(2, available_cores()) if time.monotonic() - start < _QUICK * time_limit else 1
    checks = [*_loading_checks(results[0]), *map(_trial_check, results)]
    checks += [Check(trial.title, None, "not run, as an earlier run failed") for trial in trials[len(results) :]]
    answered = [result for result in results if not result.failure]
    if answered:
        checks += [*_answer_checks(answered), _repetition_check(answered)]
    return [*checks, _tidiness_check(results)]


def find_dataset(data_directory: Path) -> Path:
    """Return the path of a data set in a benchmark directory.

    Raise InputError if none can be read without unpickling, or if it has too few genes for 1,000 edges.
    """
    names = [dataset_file(line) for line in ("rpe1", "k562")]
    path = next((data_directory / name for name in names if (data_directory / name).exists()), None)
    if path is None:
        raise InputError.of("data_directory", f"no {' or '.join(names)} in {str(data_directory)!r}", "one of them")
    _, genes, _ = read_cells(path)  # CausalBench would unpickle them
    if len(genes) * (len(genes) - 1) < FEWEST_EDGES:
        raise InputError.of("data_directory", f"{len(genes)} genes", f"at least 33, which have {FEWEST_EDGES} pairs")
    return path


def _try_out_together(
    file: Path, dataset: Path, trials: Sequence[Trial], time_limit: float, announce: Callable[[Trial], None]
) -> list[TrialResult]:
    """Run a submission once for each trial, all at the same time."""
    stopped = threading.Event()
    with ThreadPoolExecutor(len(trials)) as pool:
        try:
            running = []
            for trial in trials:
                announce(trial)
                running.append(pool.submit(try_out, file, dataset, trial, time_limit, stopped))
            return [each.result() for each in running]
        except BaseException:  # such as Ctrl-C: no process may outlive this one
            stopped.set()
            raise


def try_out(file: Path, dataset: Path, trial: Trial, time_limit: float, stopped: threading.Event) -> TrialResult:
    """Run a submission once, until it ends, its time is over, or all are to stop."""
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
                start_new_session=True,  # so that processes of the submission can be ended with it
            )
            try:
                end = time.monotonic() + time_limit
                while time.monotonic() < end and not stopped.is_set():
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL)
                        break
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
        return [Check(name, False, first.failure, "Correct the file so that it can be imported.")]
    imported = [name for name, module in candidates.items() if module != LOADED_AS]
    advice = "Keep one direct subclass of AbstractInferenceModel; CausalBench takes the alphabetically last."
    if imported:
        names = ", ".join(imported)
        advice = f"Import the module of {names} instead of the class: CausalBench counts imported classes."
    constructed = _check(
        "needs no constructor arguments",
        first.failure if first.facts["stage"] == "construct" else "",
        "CausalBench calls the class without arguments: give every parameter a default.",
    )
    one = len(candidates) == 1 and not imported
    single = Check("one inference class", one, ", ".join(candidates), "" if one else advice)
    return [_check(name), single, constructed]


def _check(name: str, fault: str = "", advice: str = "", good: str = "yes") -> Check:
    return Check(name, False, fault, advice) if fault else Check(name, True, good)


def _trial_check(result: TrialResult) -> Check:
    advice = "Run the file through causalbench_run to see the whole message; --time-limit allows more time."
    good = "" if result.failure else f"{len(result.facts['edges']):,} edges in {result.facts['seconds']:.1f} s"
    return _check(result.trial.title, result.failure, advice, good)


def _answer_checks(results: list[TrialResult]) -> list[Check]:
    """Check the edges of all trials together; a rule names the first trial that breaks it."""
    first_faults = dict.fromkeys(_ADVICE, "")
    for result in results:
        for name, fault in zip(_ADVICE, _faults(result.facts), strict=True):
            first_faults[name] = first_faults[name] or (fault and f"{fault}, in {result.trial.title}")
    good = f"in all {len(results)} runs"
    return [_check(name, fault, _ADVICE[name], good) for name, fault in first_faults.items()]


def _faults(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return how edges break each rule of _ADVICE, empty for rules that they keep."""
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
    *earlier, last = results  # the last trial repeats an earlier one
    setting = last.trial.regime, last.trial.fraction
    same = [result for result in earlier if (result.trial.regime, result.trial.fraction) == setting]
    if not same:
        return Check(name, None, "not checked, as an earlier run failed")
    first, again, fault = same[0].facts["edges"], last.facts["edges"], ""
    if first != again:
        common = len(set(map(tuple, first)) & set(map(tuple, again)))
        fault = f"{common:,} of {len(first):,} edges recur" if common < len(first) else "the order of edges changed"
    advice = "Draw from generators seeded with the argument seed; do not iterate over sets."
    return _check(name, fault, advice, "in two processes with different hash seeds")


def _tidiness_check(results: list[TrialResult]) -> Check:
    files = sorted({name for result in results for name in result.left_behind})
    fault = f"{', '.join(files[:3])}{' …' if len(files) > 3 else ''}"
    advice = "Write to a temporary directory and remove it, or write nothing."
    return _check("no files left in the working directory", fault, advice, "none")
