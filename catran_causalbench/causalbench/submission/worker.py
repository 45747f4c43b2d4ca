"""One run of a submitted file in its own process: loaded and called as CausalBench does it.

Run as ``python -m catran_causalbench.causalbench.submission.worker FILE DATASET REGIME FRACTION REPORT``. The facts are
written to REPORT as JSON after every stage, so that the stage is known after a crash or in an endless loop.
"""

from __future__ import annotations

import importlib.util  # noqa: F401 (CausalBench uses it without importing it)
import inspect
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from causalscbench.apps.utils import run_utils
from causalscbench.data_access.utils.splitting import DatasetSplitter
from causalscbench.models.abstract_model import AbstractInferenceModel
from causalscbench.models.training_regimes import TrainingRegime

from catran_causalbench.causalbench.submission.checks import LOADED_AS
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.validation import shown

SEED = 0


def run(file: str, dataset: str, regime: TrainingRegime, fraction: float, report: Path) -> None:
    """Load the file, construct its class and call it once on a ``dataset_*.npz``.

    Regime and fraction are those of CausalBench's command line; for the observational regime the fraction is 0.
    """
    facts: dict[str, Any] = {"stage": "start"}

    def enter(stage: str, **found: Any) -> None:
        facts.update(stage=stage, **found)
        write_json(report, facts)

    try:
        splitter = DatasetSplitter(dataset)
        matrix, labels, genes = splitter.get_partial_interventional(fraction, SEED)
        _, held_out, _ = splitter.get_test_data()
        enter("load", genes=list(map(str, genes)), held_out=sorted(set(map(str, held_out))))
        chosen = run_utils.get_if_valid_custom_function_file(file)
        # The classes of which CausalBench takes the last, and the modules that define them.
        classes = inspect.getmembers(sys.modules[LOADED_AS], inspect.isclass)
        candidates = {name: found.__module__ for name, found in classes if AbstractInferenceModel in found.__bases__}
        enter("construct", candidates=candidates)
        model = chosen()
        enter("run")
        start = time.perf_counter()
        answer = model(matrix, list(labels), genes, regime, SEED)
        enter("done", seconds=time.perf_counter() - start, **describe(answer))
    except BaseException:  # even SystemExit would have ended CausalBench
        enter(facts["stage"], error=traceback.format_exc())


def describe(answer: Any) -> dict[str, Any]:
    """Return the type of an answer, its well-formed edges, and the number and the first of its other entries."""
    if not isinstance(answer, list):
        return {"type": type(answer).__name__, "edges": [], "malformed": 0, "first_malformed": ""}
    edges, malformed = [], []
    for entry in answer:
        if isinstance(entry, tuple) and len(entry) == 2 and all(isinstance(gene, str) for gene in entry):
            edges.append(list(map(str, entry)))
        else:
            malformed.append(entry)
    first = shown(malformed[0])[:80] if malformed else ""
    return {"type": "list", "edges": edges, "malformed": len(malformed), "first_malformed": first}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], TrainingRegime(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
