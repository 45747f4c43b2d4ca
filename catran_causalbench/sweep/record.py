"""What is known of one finished run beside the harness's own files: ``details.json`` in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError
from catran_causalbench.whole_files import write_json

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
class TruthScores:
    """A network against the truth of a simulated world (see :mod:`catran_causalbench.evaluation.truth`).

    Attributes
    ----------
    captured
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

    captured: float
    average_precision: float
    ancestor_average_precision: float
    orientation: float
    precision: Curve
    recall: Curve
    ancestor_precision: float


@dataclass(frozen=True)
class RunRecord:
    """One method on one training set, and how good its edges are on the held-out cells.

    Attributes
    ----------
    method, data, headline, simulated
        Name of the method; name of the data directory, what it says about its data, and whether they are simulated.
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
    truth: TruthScores | None = None
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``details.json`` whole or not at all: its presence is what marks a run as done."""
        write_json(folder / DETAILS, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read what :meth:`write` wrote.

        Raises
        ------
        InputError
            The file is missing, broken or from another version.
        """
        path = folder / DETAILS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["wasserstein"] = Curve(**values["wasserstein"])
            if values["truth"] is not None:
                curves = {name: Curve(**values["truth"][name]) for name in ("precision", "recall")}
                values["truth"] = TruthScores(**{**values["truth"], **curves})
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError.of(str(path), f"no readable record ({error})", "the record of a finished run") from None


def read_sweep(folder: Path) -> list[RunRecord]:
    """Read the records of all finished runs below a folder, in the order of their paths.

    Raises
    ------
    InputError
        There is none, or one is broken.
    """
    records = list(_records(folder))
    if not records:
        raise InputError.of("folder", f"no finished run below {folder}", "the output of catran-causalbench sweep")
    return records


def _records(folder: Path) -> Iterator[RunRecord]:
    for path in sorted(folder.rglob(DETAILS)):
        yield RunRecord.read(path.parent)
