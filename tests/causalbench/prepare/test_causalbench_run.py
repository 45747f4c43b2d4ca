"""The real causalbench_run, as a subprocess, on the prepared directory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from causalscbench.data_access.utils.splitting import DatasetSplitter

MODEL = """
import os
import numpy as np
from causalscbench.models.abstract_model import AbstractInferenceModel

class Recorder(AbstractInferenceModel):
    def __call__(self, expression_matrix, interventions, gene_names, training_regime, seed=0):
        labels = np.array(interventions)
        np.savez(os.environ["RECORD"], matrix=expression_matrix, labels=labels, genes=gene_names)
        return [(gene_names[0], gene_names[1])]
"""


def test_the_model_gets_the_cells_that_it_gets_from_the_original_files(prepared, causalbench_directory, tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    command = [
        Path(sys.executable).parent / "causalbench_run",
        *("--dataset_name", "weissmann_k562", "--do_filter"),
        *("--data_directory", prepared),
        *("--output_directory", tmp_path, "--exp_id", "run"),
        *("--model_name", "custom", "--inference_function_file_path", tmp_path / "model.py"),
        *("--training_regime", "interventional", "--max_path_length", "0"),
    ]
    environment = {**os.environ, "RECORD": str(tmp_path / "record.npz")}
    finished = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (tmp_path / "run" / "metrics.json").exists()
    theirs = DatasetSplitter(str(causalbench_directory / "dataset_k562_filtered.npz"))
    matrix, labels, genes = theirs.get_interventional()
    with np.load(tmp_path / "record.npz") as record:
        assert record["matrix"].dtype == matrix.dtype
        np.testing.assert_array_equal(record["matrix"], matrix)
        np.testing.assert_array_equal(record["labels"], list(labels))
        np.testing.assert_array_equal(record["genes"], genes)
