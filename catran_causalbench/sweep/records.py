"""What is known of one finished run beside the harness's own files: ``details.json`` in the run's folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_json

DETAILS = "details.json"
FAILURE = "failure.json"


@dataclass(frozen=True)
class Curve:
    """A figure at growing numbers of edges, the best edges first.

    Attributes
    ----------
    edges
        Numbers of edges, ascending; the last is that of the whole network.
    value
        The figure for so many of the best edges.
    """

    edges: list[int]
    value: list[float]


@dataclass(frozen=True)
class GroundTruthScores:
    """A network against the truth of a simulated world (see :mod:`catran_causalbench.evaluation.ground_truth`).

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
    """

    effect_recovery: float
    average_precision: float
    ancestor_average_precision: float
    orientation: float
    precision: Curve
    recall: Curve
    ancestor_precision: float


@dataclass(frozen=True)
class RunResult:
    """One method on one training set, and how good its edges are on the held-out cells.

    Attributes
    ----------
    method, data, headline, simulated
        Name of the method; name of the data directory, what it says about its data, and whether they are simulated.
    data_settings
        What the data were simulated from, the seed left out: data sets that agree in it are replicates of each other.
        Empty for measured data.
    regime, fraction, seed
        As ``causalbench_run`` knows them: ``observational``, ``partial_interventional`` or ``interventional``, the
        share of perturbations trained on (1 in the last), and the seed of the model and of the partial draw.
    num_edges
        Edges that were returned.
    seconds, peak_megabytes
        Time of the inference alone, and the most memory that it took beyond what its process held before.
    mean_wasserstein, false_omission_rate
        The harness's figures on the held-out cells; NaN where no omissions were drawn.
    excess_wasserstein
        Mean Wasserstein distance beyond that of permuted labels.
    wasserstein
        Mean Wasserstein distance as more of the best edges are taken.
    references
        Name of a reference network → precision, recall and F1 of the edges against it.
    truth
        Only where the data directory holds the true network.
    machine
        ``processor``, ``cores``, ``gpu`` (empty without one).
    """

    method: str
    data: str
    headline: str
    simulated: bool
    regime: str
    fraction: float
    seed: int
    num_edges: int
    seconds: float
    peak_megabytes: float
    mean_wasserstein: float
    false_omission_rate: float
    excess_wasserstein: float
    wasserstein: Curve
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    truth: GroundTruthScores | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    data_settings: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``details.json`` whole or not at all: its presence is what marks a run as done."""
        write_json(folder / DETAILS, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RunResult:
        """Read what :meth:`write` wrote.

        Raises
        ------
        InputError
            The file is missing, broken or from another version.
        """
        path = folder / DETAILS
        try:
            return _parsed(cls, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError.of(str(path), f"no readable record ({error})", "the record of a finished run") from None


def read_sweep(folder: Path) -> list[tuple[Path, RunResult]]:
    """Read the finished runs below a folder, each with its own folder, in the order of their paths.

    Raises
    ------
    InputError
        There is none, or one is broken.
    """
    runs = [(path.parent, RunResult.read(path.parent)) for path in files_below(folder, DETAILS)]
    if not runs:
        raise InputError.of("folder", f"no finished run below {folder}", "the output of catran-causalbench sweep")
    return runs


def files_below(folder: Path, name: str) -> list[Path]:
    """List the files of a name below a folder, where a sweep may be at work: folders may vanish meanwhile."""
    return sorted(Path(place, name) for place, _, names in os.walk(folder) if name in names)


def _parsed(kind: Any, value: Any) -> Any:
    """Make of a value of JSON what a record's annotation says, or raise TypeError."""
    parts = get_args(kind)
    if type(None) in parts:
        return None if value is None else _parsed(parts[0], value)
    if hints := get_type_hints(kind) if is_dataclass(kind) else {}:
        return kind(**{name: _parsed(hints[name], part) for name, part in _checked(value, dict).items()})
    if get_origin(kind) is list:
        return [_parsed(parts[0], part) for part in _checked(value, list)]
    if get_origin(kind) is dict:
        return {name: _parsed(parts[1], part) for name, part in _checked(value, dict).items()}
    return value if kind is Any else _checked(value, (int, float) if kind is float else kind)


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} is of another type")
    return value
