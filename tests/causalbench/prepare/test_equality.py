"""The cells are those that CausalBench makes, to the last bit, however the counts are stored."""

import warnings
from functools import cache

import numpy as np
import pytest
from causalscbench.data_access.utils.preprocessing import preprocess_dataset

from catran_causalbench.causalbench.prepare.dataset import DatasetPlan
from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.causalbench.prepare.summary import read_summaries
from catran_causalbench.data import matrix_blocks

STORED = [
    *((storage, dtype, True) for storage in ("dense", "csr", "csc") for dtype in ("float32", "float64", "int32")),
    ("dense", "float32", False),
    ("csc", "int64", False),
]


@pytest.fixture(scope="module")
def causalbench(screens, tmp_path_factory):
    """What CausalBench makes of the counts, by storage, type, and whether it filters."""
    directory = tmp_path_factory.mktemp("theirs")

    @cache
    def preprocessed(storage, dtype, filtered):
        path = screens["k562"].write(directory / f"{storage}-{dtype}.h5ad", storage, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return preprocess_dataset(path, screens["k562"].summary if filtered else None)

    return preprocessed


@pytest.mark.guarantee(
    "CausalBench's data",
    "`prepare` writes the cells that CausalBench would have made, to the last bit and of the same type, in the same "
    "order and under the same labels, with and without `--do_filter`, whether the counts are stored dense, as CSR or "
    "as CSC.",
)
@pytest.mark.parametrize(("storage", "dtype", "categorical"), STORED)
def test_cells_are_causalbench_s_to_the_last_bit(
    screens, data, tmp_path, monkeypatch, causalbench, storage, dtype, categorical
):
    monkeypatch.setattr(matrix_blocks, "_VALUES_PER_BLOCK", 2**18)  # so that there are several
    path = screens["k562"].write(tmp_path / "k562.h5ad", storage, dtype, categorical)
    (tmp_path / "made").mkdir()
    summary = read_summaries(data / "summary_stats.xlsx")["k562"]
    DatasetPlan.make("k562", ExpressionFile.read(path), summary).write(tmp_path / "made", "", lambda *_: None)
    for filtered in (False, True):
        # CausalBench fails on integers: they have to give what the same counts give as float32.
        expected = causalbench(storage, dtype if "float" in dtype else "float32", filtered)
        with np.load(tmp_path / "made" / f"dataset_k562{'_filtered' * filtered}.npz") as made:
            assert made.files == ["expression_matrix", "var_names", "interventions"]
            for array, wanted in zip(made.values(), map(np.array, expected), strict=True):
                assert array.dtype == wanted.dtype
                np.testing.assert_array_equal(array, wanted)
