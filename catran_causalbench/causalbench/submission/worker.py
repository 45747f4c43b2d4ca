"""One run of a submitted file in a process of its own: loaded, fed and called as the harness does it.

Run as ``python -m catran_causalbench.causalbench.submission.worker FILE DATASET REGIME FRACTION REPORT``. What happened is
written to REPORT as JSON, anew after every stage, so that a crash or an endless loop leaves its stage there.
"""

from __future__ import annotations

import importlib.util  # noqa: F401 (the harness uses it without importing it)
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

from catran_causalbench.utils.atomic_io import write_json

LOADED_AS = "custom_acqfunc"
SEED = 0


def run(file: str, dataset: str, regime: TrainingRegime, fraction: float, report: Path) -> None:
    """Load the file, build its class and call it once.

    Parameters
    ----------
    file
        The submission.
    dataset
        A benchmark directory's ``dataset_*.npz``.
    regime, fraction
        As the command line of the harness gives them; the observational regime keeps no perturbation.
    report
        Where to write; see :func:`describe` for what it holds of the answer.
    """
    facts: dict[str, Any] = {"stage": "start"}
    try:
        splitter = DatasetSplitter(dataset)
        matrix, labels, genes = splitter.get_partial_interventional(fraction, SEED)
        _, held_out, _ = splitter.get_test_data()
        facts |= {"stage": "load", "genes": list(map(str, genes)), "held_out": sorted(set(map(str, held_out)))}
        write_json(report, facts)
        chosen = run_utils.get_if_valid_custom_function_file(file)
        facts |= {"stage": "construct", "candidates": _candidates()}
        write_json(report, facts)
        model = chosen()
        facts["stage"] = "run"
        write_json(report, facts)
        start = time.perf_counter()
        answer = model(matrix, list(labels), genes, regime, SEED)
        facts |= {"stage": "done", "seconds": time.perf_counter() - start, **describe(answer)}
    except BaseException:  # whatever it is, SystemExit included, it would have ended the harness
        facts["error"] = traceback.format_exc()
    write_json(report, facts)


def describe(answer: Any) -> dict[str, Any]:
    """Tell an answer's type, its well-formed edges, and how many other entries it has, with the first of them."""
    if not isinstance(answer, list):
        return {"type": type(answer).__name__, "edges": [], "malformed": 0, "first_malformed": ""}
    formed = [
        isinstance(edge, tuple) and len(edge) == 2 and all(isinstance(gene, str) for gene in edge) for edge in answer
    ]
    malformed = [repr(edge) for edge, well in zip(answer, formed, strict=True) if not well]
    return {
        "type": "list",
        "edges": [list(map(str, edge)) for edge, well in zip(answer, formed, strict=True) if well],
        "malformed": len(malformed),
        "first_malformed": malformed[0][:80] if malformed else "",
    }


def _candidates() -> dict[str, str]:
    """Classes that the harness would take, each with the module that defines it; of several it takes the last."""
    classes = inspect.getmembers(sys.modules[LOADED_AS], inspect.isclass)
    return {name: found.__module__ for name, found in classes if AbstractInferenceModel in found.__bases__}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], TrainingRegime(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
