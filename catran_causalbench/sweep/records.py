"""The result of a finished run, beside CausalBench's own files: ``details.json`` in the run's directory."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.validation import Validated, from_mapping

DETAILS = "details.json"
FAILURE = "failure.json"


@dataclass(frozen=True)
class Curve(Validated):
    """A metric at growing numbers of edges, the best edges first.

    Attributes
    ----------
    edges
        Numbers of edges, ascending; the last is that of the whole network.
    value
        The metric of so many of the best edges.
    """

    edges: list[int]
    value: list[float]


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
    unperturbed_average_precision
        Area under the precision–recall curve of all pairs' weights against the largest true effects, as many as there
        are edges, among sources never perturbed in training; NaN where there are none.
    """

    effect_recovery: float
    average_precision: float
    ancestor_average_precision: float
    orientation: float
    precision: Curve
    recall: Curve
    ancestor_precision: float
    unperturbed_average_precision: float = math.nan


@dataclass(frozen=True, kw_only=True)
class NetworkScores(Validated):
    """How good a network is on held-out cells, and against what is known.

    Attributes
    ----------
    num_edges
        Edges that were returned.
    mean_wasserstein, false_omission_rate
        As CausalBench computes them on the held-out cells; the second is NaN where no omitted pairs were drawn.
    exact_false_omission_rate
        The same over all omitted pairs instead of a sample; NaN where there are none.
    excess_wasserstein
        Mean Wasserstein distance beyond that of permuted labels.
    wasserstein
        Mean Wasserstein distance as more of the best edges are taken.
    references
        Name of a reference network → precision, recall and F1 of the edges; only references with pairs of the genes.
    truth
        Scores against the ground truth; None where the directory holds none.
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
        Name of the method; name of the data directory, how it describes its data, and whether they are simulated.
    data_settings
        What the data were simulated from, the seed left out: data sets that agree in it are replicates of each other.
        Empty for measured data.
    regime, fraction, seed
        As in ``causalbench_run``: ``observational``, ``partial_interventional`` or ``interventional``, the share of
        perturbations trained on (1 in the last), and the seed of the model and of the partial draw.
    seconds, peak_megabytes
        Time of the inference alone, and the most memory that it took beyond what its process held before.
    stability
        Share of the edges that two halves of the training cells have in common; NaN where it was not asked for.
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

    def write(self, folder: Path) -> None:
        """Write ``details.json`` atomically: its presence marks a run as done."""
        write_json(folder / DETAILS, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RunResult:
        """Read what :meth:`write` wrote.

        Raises
        ------
        InputError
            The file is missing, damaged or from another version.
        """
        path = folder / DETAILS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError.of(str(path), f"no readable JSON ({error})", "the result of a finished run") from None
        return from_mapping(cls, values, str(path))


def read_sweep(folder: Path) -> list[tuple[Path, RunResult]]:
    """Read the finished runs below a directory, each with its own directory, in the order of their paths.

    Raises
    ------
    InputError
        There is none, or one is damaged.
    """
    runs = [(path.parent, RunResult.read(path.parent)) for path in files_below(folder, DETAILS)]
    if not runs:
        raise InputError.of("folder", f"no finished run below {folder}", "the output of catran-causalbench sweep")
    return runs


def files_below(folder: Path, name: str) -> list[Path]:
    """List the files of a name below a directory where a sweep may be running: directories may vanish meanwhile."""
    return sorted(Path(place, name) for place, _, names in os.walk(folder) if name in names)
