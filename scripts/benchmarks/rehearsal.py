"""Rehearse work with CausalBench's data at true size, and measure the time and memory of every stage.

    python scripts/benchmarks/replogle_files.py DATA      # SIMULATED files, 20 GB
    python scripts/benchmarks/rehearsal.py DATA WORK      # all stages, then tables in Markdown
    python scripts/benchmarks/rehearsal.py DATA WORK --stages prepare,fit

WORK gets what the stages write, and rehearsal.json with their measurements, to which later calls add. The .h5ad files
are dropped from the system's cache before every stage that reads them. CausalBench's own chain runs under a limit of
memory, as its demands would stop the machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean

import psutil
from evaluator import agree
from measured_process import Measurement, measure

from catran_causalbench.causalbench import PLUGIN_FILE
from catran_causalbench.causalbench.dataset_spec import REGIMES
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, SUMMARY
from catran_causalbench.utils.hardware import describe_machine
from catran_causalbench.utils.page_cache import drop_from_cache

RESULTS = "rehearsal.json"
CATRAN = (sys.executable, "-m", "catran_causalbench")
CAUSALBENCH_RUN = Path(sys.executable).with_name("causalbench_run")
EVENTS = {
    "Loading and processing evaluators.": "data read",
    "Starting model training.": "model called",
    "Model training finished.": "model returned",
}
FRACTION = 0.5  # in the partial regime

# Reads X block by block and does nothing else: what no program that looks at all cells can fall below.
READ = """
import sys, h5py, numpy
for path in sys.argv[1:]:
    with h5py.File(path) as file:
        matrix = file["X"]
        block = numpy.empty((2**23 // matrix.shape[1], matrix.shape[1]), matrix.dtype)
        for start in range(0, len(matrix), len(block)):
            stop = min(start + len(block), len(matrix))
            matrix.read_direct(block, numpy.s_[start:stop], numpy.s_[: stop - start])
"""
# What causalbench_run does before it calls the model; load_evaluators reads the networks again.
START = """
import sys
from causalscbench.apps.main_app import CreateEvaluationDatasets, MainApp
print("IMPORTED")
app = MainApp(sys.argv[2], sys.argv[1], dataset_name="weissmann_rpe1", filter=True)
app.load_data()
print("DATA")
CreateEvaluationDatasets(app.data_directory, app.dataset_name).load()
print("NETWORKS")
app.load_evaluators()
print("PAIRS", len(app.pooled_biological_evaluator(None, None, app.dataset_splitter.gene_names, "", 0)))
"""
START_EVENTS = {"IMPORTED": "imported", "DATA": "data read", "NETWORKS": "networks read", "PAIRS": "pairs tested"}
PREPROCESS = """
import sys, pandas
from causalscbench.data_access.utils.preprocessing import preprocess_dataset
preprocess_dataset(sys.argv[1], pandas.read_excel(sys.argv[2], sheet_name=sys.argv[3]))
"""
SHEETS = {"k562.h5ad": "TabB_K562_day6_summary_stat", "rpe1.h5ad": "TabC_RPE1_summary_statistic"}


class Rehearsal:
    """The stages; each returns rows of its table, by their names."""

    def __init__(self, data: Path, work: Path, memory_limit: float) -> None:
        self._data, self._work, self._limit = data, work, memory_limit
        self._screens = [data / name for name in EXPRESSION_FILES]
        self.prepared = work / "prepared"

    def reading(self) -> dict[str, Measurement]:
        """Read both files with h5py, block by block."""
        return {"read both files with h5py": self._cold(sys.executable, "-c", READ, *self._screens)}

    def prepare(self) -> dict[str, Measurement]:
        """Prepare both files."""
        shutil.rmtree(self.prepared, ignore_errors=True)
        return {"`prepare`, both files": self._cold(*CATRAN, "prepare", self._data, "--output", self.prepared)}

    def runs(self) -> dict[str, Measurement]:
        """Run CaTran through causalbench_run on the prepared RPE1 data, in every regime."""
        return {f"`causalbench_run`, {regime}": self._causalbench_run(self.prepared, regime) for regime in REGIMES}

    def start(self) -> dict[str, Measurement]:
        """Take apart what CausalBench does before it calls a model."""
        command = (sys.executable, "-c", START, self.prepared, self._work / "runs")
        return {"CausalBench's start, taken apart": measure(command, START_EVENTS)}

    def evaluation(self) -> dict[str, Measurement]:
        """Evaluate the network of each run, and compare the metrics; the first call caches the reference networks."""
        for path in self.prepared.glob("networks_*.npz"):
            path.unlink()
        rows = {}
        for regime in REGIMES:
            run = self._work / "runs" / regime
            options = ("--do-filter", "--json")
            row = measure((*CATRAN, "evaluate", self.prepared, run / "output_network.csv", *options))
            found = json.loads(row.output[row.output.index("{") :])["metrics"]
            theirs = json.loads((run / "metrics.json").read_text())
            if not agree(found, {name: theirs[name] for name in found}) or theirs.keys() - found != {"run_time"}:
                raise SystemExit(f"{regime}: other metrics than those of CausalBench")
            rows[f"`evaluate`, {regime}"] = row
        return rows

    def causalbench(self) -> dict[str, Measurement]:
        """Let CausalBench preprocess the files and run from them, within the limit of memory."""
        rows = {}
        for path in self._screens:
            command = ("-c", PREPROCESS, path, self._data / SUMMARY, SHEETS[path.name])
            rows[f"CausalBench's preprocessing of {path.name}"] = self._cold(sys.executable, *command, limited=True)
        rows["CausalBench's `causalbench_run` from the raw files"] = self._causalbench_run(
            self._data, REGIMES[-1], True
        )
        return rows

    def fit(self) -> dict[str, Measurement]:
        """Fit the raw RPE1 file, with targets given by symbols and by ids."""
        rows = {}
        for key in ("gene", "gene_id"):
            options = ("--perturbation-key", key, "--counts", "--output", self._work / f"fit-{key}", "--overwrite")
            rows[f"`fit rpe1.h5ad --perturbation-key {key} --counts`"] = self._cold(
                *CATRAN, "fit", self._data / EXPRESSION_FILES[1], *options
            )
        return rows

    def challenge(self) -> dict[str, Measurement]:
        """Run CaTran and Mean Difference at the challenge's four fractions."""
        output = self._work / "challenge"
        shutil.rmtree(output, ignore_errors=True)
        options = ("--methods", "catran,mean_difference", "--do-filter")
        return {"`sweep`, eight runs": measure((*CATRAN, "sweep", self.prepared, "--output", output, *options))}

    def _cold(self, *command: object, limited: bool = False) -> Measurement:
        for path in self._screens:
            drop_from_cache(path)
        return measure(command, address_space_gb=self._limit if limited else None)

    def _causalbench_run(self, directory: Path, regime: str, limited: bool = False) -> Measurement:
        shutil.rmtree(self._work / "runs" / regime, ignore_errors=True)
        (self._work / "runs").mkdir(exist_ok=True)
        options = {
            "dataset_name": "weissmann_rpe1",
            "data_directory": directory,
            "output_directory": self._work / "runs",
            "exp_id": regime,
            "model_name": "custom",
            "inference_function_file_path": PLUGIN_FILE,
            "training_regime": regime,
            "fraction_partial_intervention": FRACTION if regime == REGIMES[1] else 1.0,
            "max_path_length": 1,
            "omission_estimation_size": 500,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        command = (CAUSALBENCH_RUN, *words, "--do_filter")
        return measure(command, EVENTS, self._limit if limited else None)


STAGES: dict[str, Callable[[Rehearsal], dict[str, Measurement]]] = {
    name: getattr(Rehearsal, name)
    for name in ("reading", "prepare", "start", "runs", "evaluation", "causalbench", "fit", "challenge")
}


def main() -> None:
    """Run the stages of the command line, and print what is known of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that replogle_files.py wrote")
    parser.add_argument("work", type=Path, help="folder for results, on the same disk")
    parser.add_argument(
        "--stages", default=",".join(STAGES), help="some of them, separated by commas; '' to print only"
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--memory-limit", type=float, default=16, help="GB that CausalBench's own chain may allocate")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    results_file = arguments.work / RESULTS
    results = json.loads(results_file.read_text()) if results_file.exists() else {}
    rehearsal = Rehearsal(arguments.data.absolute(), arguments.work.absolute(), arguments.memory_limit)
    for stage in filter(None, arguments.stages.split(",")):
        measurements = [STAGES[stage](rehearsal) for _ in range(arguments.repeats)]
        results[stage] = {name: [asdict(repeat[name]) for repeat in measurements] for name in measurements[0]}
        results_file.write_text(json.dumps(results, indent=1))
        print(stage, *(spread(repeats) for repeats in results[stage].values()), flush=True)
    print(table(results))


def table(results: dict[str, dict[str, list[dict]]]) -> str:
    """Return all measurements as a table in Markdown, and what they were made on."""
    lines = ["| stage | time | peak memory | |", "|---|---|---|---|"]
    for stage in filter(results.get, STAGES):
        for name, repeats in results[stage].items():
            memory = max(repeat["peak_gb"] for repeat in repeats)
            lines.append(f"| {name} | {spread(repeats)} | {memory:.1f} GB | {remark(repeats[0])} |")
    machine = describe_machine()
    memory = psutil.virtual_memory().total / 1e9
    return "\n".join([*lines, "", f"{machine['cores']} cores of an {machine['processor']}, {memory:.0f} GB."])


def spread(repeats: Sequence[dict]) -> str:
    """Return the mean time, with the smallest and the largest if the stage was repeated."""
    times = [repeat["seconds"] for repeat in repeats]
    return f"{mean(times):.0f} s" + f" ({min(times):.0f} to {max(times):.0f})" * (len(times) > 1)


def remark(measurement: dict) -> str:
    """Return what happened when, or with what a stage ended."""
    if measurement["exit_code"]:
        lines = [line.strip() for line in measurement["output"].splitlines()]
        return f"ended with {measurement['exit_code']}: {next(filter(None, reversed(lines)), 'no output')}"
    return ", ".join(
        f"{name} after {seconds:.0f} s ({memory:.1f} GB)" for name, (seconds, memory) in measurement["events"].items()
    )


if __name__ == "__main__":
    main()
