"""Small data sets that every test module shares."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():  # read when triton is imported, which any test module may cause: hence here
    os.environ["TRITON_INTERPRET"] = "1"

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def random_data(cells=600, genes=12, seed=0):
    """Counts on a log scale with controls, knock-downs of the first genes, and excluded cells."""
    rng = np.random.default_rng(seed)
    names = [f"gene{number:02d}" for number in rng.permutation(genes)]
    matrix = np.log1p(rng.poisson(rng.gamma(2, 1, genes), size=(cells, genes))).astype(np.float32)
    labels = rng.choice([*names[: genes // 2], "non-targeting", "non-targeting", "excluded"], cells)
    return matrix, [str(label) for label in labels], names


@pytest.fixture
def data():
    return random_data()


@pytest.fixture
def real_data():
    """Path of a real data set by name; the test is skipped where the shared folder is absent."""

    def path(name):
        file = SHARED_DATA / name
        if not file.exists():
            pytest.skip(f"real data set {name} is not beside this checkout (it is never part of the repository)")
        return file

    return path
