"""Files in the layout of CausalBench's, drawn once for all tests."""

from dataclasses import replace

import pytest
from replogle_layout import TARGETS, make_screen, write_data_directory


@pytest.fixture(scope="session")
def screens():
    """One screen for each cell line; RPE1's has fewer cells of every other target."""
    fewer = [replace(target, cells=target.cells // (1 + number % 2)) for number, target in enumerate(TARGETS)]
    return {"k562": make_screen(0), "rpe1": make_screen(1, fewer)}


@pytest.fixture(scope="session")
def data(screens, tmp_path_factory):
    """The directory that CausalBench would have downloaded; not to be changed."""
    scratch = tmp_path_factory.mktemp("replogle")
    return write_data_directory(scratch / "data", screens, scratch)
