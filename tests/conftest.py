"""Small data sets that every test module shares."""

import os
import signal

import pytest
import torch
from helpers import SHARED_DATA, random_data

if not torch.cuda.is_available():  # read when triton is imported, which any test module may cause: hence here
    os.environ["TRITON_INTERPRET"] = "1"

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
