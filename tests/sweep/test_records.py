"""The directory of a sweep: results that are read back, and files that are refused."""

import json

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.sweep.records import (
    FAILURE,
    Curve,
    RunResult,
    atomic_run_directory,
    check_identity,
    is_done,
    read_sweep,
    write_failure,
)

RESULT = RunResult(
    method="random",
    data="simulated",
    title="A screen",
    simulated=False,
    regime="interventional",
    fraction=1,
    seed=0,
    seconds=2,
    peak_megabytes=3,
    num_edges=2,
    mean_wasserstein=np.float32(0.5),
    false_omission_rate=float("nan"),
    excess_wasserstein=0.25,
    wasserstein=Curve([1, 2], [0.75, 0.5]),
    machine={"processor": "a processor", "cores": 2},
)


def test_a_result_is_read_as_it_was_written(tmp_path):
    directory = tmp_path / "simulated" / "random"
    directory.mkdir(parents=True)
    assert not is_done(directory)
    RESULT.write(directory)
    assert is_done(directory)
    ((place, result),) = read_sweep(tmp_path)
    assert place == directory
    assert repr(result) == repr(RESULT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no readable JSON"),
        ("{", "no readable JSON"),
        ("[]", "mapping"),
        ("{}", "method|num_edges"),
        ({"seconds": "x"}, "seconds: found .*'x'"),
        ({"num_edges": True}, "num_edges: found .*True"),
        ({"wasserstein": {"edges": 1, "value": []}}, "edges: found .*1; expected a list"),
        ({"wasserstein": [1]}, "wasserstein"),
        ({"secnds": 2}, "unknown key secnds; expected seconds"),
    ],
)
def test_a_damaged_result_counts_as_none(tmp_path, content, message):
    RESULT.write(tmp_path)
    path = tmp_path / "details.json"
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    with pytest.raises(InputError, match=message):
        RunResult.read(tmp_path)
    assert not is_done(tmp_path)


def test_a_run_directory_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    write_failure(tmp_path / "run", ValueError("first"), "")
    with pytest.raises(FileExistsError), atomic_run_directory(tmp_path / "run") as scratch:
        scratch.mkdir()
    assert json.loads((tmp_path / "run" / FAILURE).read_text())["message"] == "first"
    with atomic_run_directory(tmp_path / "run") as scratch:
        (scratch / "whole").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["run", "run/whole"]


def test_the_identity_of_a_sweep_may_grow_and_not_change(tmp_path):
    check_identity(tmp_path, {"edges": 30})
    check_identity(tmp_path, {"edges": 30.0, "cells of more": "a digest"})
    with pytest.raises(InputError, match=r"^edges: found 31, where the runs .* have 30"):
        check_identity(tmp_path, {"edges": 31})
    with pytest.raises(InputError, match="cells of more: found"):
        check_identity(tmp_path, {"cells of more": "another digest"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("thesis.txt", "mine", "output: found .* with other files in it"),
        ("sweep.json", "{", "no readable JSON"),
        ("sweep.json", '["edges"]', "list in JSON"),
    ],
)
def test_a_foreign_directory_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        check_identity(tmp_path, {"edges": 30})
