"""Files in the layout of CausalBench's, drawn once for all tests."""

import shutil
import warnings
from dataclasses import replace

import pytest
from causalscbench.data_access.create_dataset import CreateDataset
from replogle_layout import TARGETS, make_screen, write_data_directory

from catran_causalbench.causalbench.prepare.directory import prepare_directory


@pytest.fixture(scope="session")
def screens():
    """One screen for each cell line; RPE1's has fewer cells of every other target."""
    fewer = [replace(target, cells=target.cells // (1 + number % 2)) for number, target in enumerate(TARGETS)]
    fewer = [replace(target, listed=target.cells) if target.listed == 120 else target for target in fewer]
    return {"k562": make_screen(0), "rpe1": make_screen(1, fewer)}


@pytest.fixture(scope="session")
def data(screens, tmp_path_factory):
    """The directory that CausalBench would have downloaded; not to be changed."""
    scratch = tmp_path_factory.mktemp("replogle")
    return write_data_directory(scratch / "data", screens, scratch)


@pytest.fixture(scope="session")
def prepared(data, tmp_path_factory):
    """What `prepare` makes of it; not to be changed."""
    directory = tmp_path_factory.mktemp("prepared") / "out"
    prepare_directory(data, directory)
    return directory


@pytest.fixture(scope="session")
def causalbench_directory(data, tmp_path_factory):
    """The same data with the cells that CausalBench itself makes of them; not to be changed."""
    directory = shutil.copytree(data, tmp_path_factory.mktemp("causalbench") / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for filtered in (False, True):
            CreateDataset(str(directory), filtered).load()
    return directory


@pytest.fixture
def copied(data, tmp_path):
    """A copy of the data, to be changed."""
    return shutil.copytree(data, tmp_path / "data")
