"""The machine and the memory of a run."""

import os
import time

import numpy as np
import pytest
import torch

from catran_causalbench.utils.hardware import PeakMemory, best_device, describe_machine


def test_memory_is_what_a_block_takes_at_its_peak():
    with PeakMemory() as memory:
        taken = np.ones(10_000_000)
        while memory.peak_megabytes < 70:  # until another thread has looked
            time.sleep(0.01)
        del taken
    assert memory.peak_megabytes == pytest.approx(80, abs=15)


def test_cores_are_counted_where_processes_cannot_be_bound_to_them(monkeypatch):
    """As on macOS."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in ("os.sched_getaffinity", "psutil.Process.cpu_affinity"):
        monkeypatch.delattr(name, raising=False)
    assert describe_machine()["cores"] == os.cpu_count()


@pytest.mark.parametrize(("available", "expected"), [(True, "cuda"), (False, "cpu")])
def test_the_gpu_is_used_where_there_is_one(available, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert best_device().type == expected
