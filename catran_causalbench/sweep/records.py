"""Results of runs, and the directory of a sweep that holds them.

A sweep's directory holds ``sweep.json``, which describes what its runs share, and ``DATA/RUN/`` for each run, complete
or not at all: CausalBench's own files and ``details.json``, or ``failure.json`` if the run failed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.validation import Validated, from_mapping

DETAILS, FAILURE = "details.json", "failure.json"
_IDENTITY, _UNFINISHED = "sweep.json", ".unfinished-"


@dataclass(frozen=True)
class Curve(Validated):
    """A metric at growing numbers of edges, the best edges first.

    Attributes
    ----------
    edges
        Numbers of edges, ascending; the last is that of the whole network.
    value
        The metric of that many of the best edges.
    """

    edges: list[int]
    value: list[float]


@dataclass(frozen=True)
class Calibration(Validated):
    """Expected and true effects of edges, in groups of nearly equal size, the largest weights first; empty if unknown.

    Attributes
    ----------
    weight, effect
        Mean weight of the edges of a group, and their mean absolute true effect, on the scale of the data.
    """

    weight: list[float] = field(default_factory=list)
    effect: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class GroundTruthScores(Validated):
    """A network against the ground truth of simulated data (see :mod:`catran_causalbench.evaluation.ground_truth`).

    Attributes
    ----------
    effect_recovery
        True effect of the edges as a share of the oracle's.
    average_precision, ancestor_average_precision
        Area under the precision–recall curve of the ranked edges against direct edges, and against ancestors.
    orientation
        Share that points the right way, among edges that are true in one direction only.
    precision, recall
        Against direct edges, as more of the best edges are taken.
    ancestor_precision
        Share of the edges whose source is an ancestor of the target.
    direct_average_precision
        Area under the precision–recall curve of all pairs, ranked by weight, against direct edges; effects and direct
        edges can so be looked at side by side.
    unperturbed_average_precision
        See :func:`~catran_causalbench.sweep.scoring.unperturbed_average_precision`.
    perturbed, unperturbed
        Calibration of the edges whose source was perturbed in training, and of the others. Of the model ``evidence``
        only: the weights of other methods are no expected effects.
    """

    effect_recovery: float
    average_precision: float
    ancestor_average_precision: float
    orientation: float
    precision: Curve
    recall: Curve
    ancestor_precision: float
    direct_average_precision: float = math.nan
    unperturbed_average_precision: float = math.nan
    perturbed: Calibration = field(default_factory=Calibration)
    unperturbed: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, kw_only=True)
class NetworkScores(Validated):
    """How good a network is on held-out cells, and against what is known.

    Attributes
    ----------
    num_edges
        Number of edges.
    mean_wasserstein, false_omission_rate
        As CausalBench computes them on the held-out cells; the second is NaN if no omitted pairs were drawn.
    exact_false_omission_rate
        The same over all omitted pairs instead of a sample; NaN if there are none or if it was not computed.
    excess_wasserstein
        Mean Wasserstein distance beyond that of permuted labels.
    wasserstein
        Mean Wasserstein distance as more of the best edges are taken.
    references
        Name of a reference network → the edges' ``true_positives`` (as in CausalBench), ``precision``, ``recall`` and
        ``f1``; only networks with pairs of the genes. Two networks are pooled from the others.
    truth
        Scores against the ground truth; None for measured data.
    """

    num_edges: int
    mean_wasserstein: float
    false_omission_rate: float
    exact_false_omission_rate: float = math.nan
    excess_wasserstein: float
    wasserstein: Curve
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    truth: GroundTruthScores | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult(NetworkScores):
    """One method on one training set, and how good its edges are.

    Attributes
    ----------
    method, data, title, simulated
        Name of the method; name of the benchmark directory, the title of its data, and whether they are simulated.
    data_settings
        What the data were simulated from, without the seed: data sets that agree in it are replicates of each other.
        Empty for measured data.
    regime, fraction, seed
        As in ``causalbench_run``: ``observational``, ``partial_interventional`` or ``interventional``, the share of
        perturbations trained on (1 in the last), and the seed of the model and of the partial draw.
    seconds, peak_megabytes
        Run time of the inference alone, and its peak memory beyond what the process held before.
    stability
        Share of the edges that two halves of the training cells have in common; NaN if it was not computed.
    machine
        ``processor``, ``cores``, ``gpu`` (empty without one).
    """

    method: str
    data: str
    title: str
    simulated: bool
    data_settings: dict[str, Any] = field(default_factory=dict)
    regime: str
    fraction: float
    seed: int
    seconds: float
    peak_megabytes: float
    stability: float = math.nan
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write ``details.json`` atomically: its presence marks a run as done."""
        write_json(directory / DETAILS, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> RunResult:
        """Read what :meth:`write` wrote; raise InputError if it is missing, damaged or from another version."""
        path = directory / DETAILS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError.of(str(path), f"no readable JSON ({error})", "the result of a finished run") from None
        return from_mapping(cls, values, str(path))


def read_sweep(directory: Path) -> list[tuple[Path, RunResult]]:
    """Return the directories and results of the finished runs below a directory, in the order of their paths.

    Raise InputError if there is none, or if one is damaged.
    """
    runs = [(path.parent, RunResult.read(path.parent)) for path in files_below(directory, DETAILS)]
    if not runs:
        raise InputError.of("sweeps", f"no finished run below {directory}", "the output of catran-causalbench sweep")
    return runs


def files_below(directory: Path, name: str) -> list[Path]:
    """List the files of a name below a directory in which a sweep may still add and remove directories."""
    return sorted(Path(parent, name) for parent, _, names in os.walk(directory) if name in names)


def is_done(directory: Path) -> bool:
    """Return whether a run's directory holds a readable result."""
    try:
        RunResult.read(directory)
    except InputError:
        return False
    return True


@contextmanager
def atomic_run_directory(directory: Path) -> Iterator[Path]:
    """Yield a new directory that replaces ``directory`` if the block succeeds, and is removed if it fails."""
    scratch = directory.parent / f"{_UNFINISHED}{directory.name}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if directory.exists():  # a failure, or a run whose result was lost
            shutil.rmtree(directory)
        scratch.rename(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_failure(directory: Path, error: BaseException, traceback: str) -> None:
    """Write why a run failed, in place of its results."""
    with atomic_run_directory(directory) as scratch:
        values = {"type": type(error).__name__, "message": str(error), "traceback": traceback}
        write_json(scratch / FAILURE, values)


def remove_unfinished(output: Path) -> None:
    """Remove what killed runs left behind."""
    for scratch in output.glob(f"*/{_UNFINISHED}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def check_identity(output: Path, identity: Mapping[str, Any]) -> None:
    """Record what the runs of a sweep share, or check that it has not changed.

    Raise InputError if the directory holds other things, or runs of another protocol, other code or other files.
    """
    if not (output / _IDENTITY).exists() and any(output.iterdir()):
        raise InputError.of("output", f"{str(output)!r} with other files in it", "a new directory, or one of a sweep")
    known = read_identity(output)
    for key, value in identity.items():
        if key in known and known[key] != value:
            found = f"{value!r}, where the runs in {str(output)!r} have {known[key]!r}"
            raise InputError.of(key, found, "the same for all runs of a directory, so that they can be compared")
    write_json(output / _IDENTITY, {**known, **identity})


def read_identity(output: Path) -> dict[str, Any]:
    """Read what the runs of a sweep share; empty if it was not recorded. Raise InputError if the file is damaged."""
    path = output / _IDENTITY
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"no readable JSON ({error})", "what a sweep wrote") from None
    if not isinstance(known, dict):
        raise InputError.of(str(path), f"{type(known).__name__} in JSON", "what a sweep wrote")
    return known
