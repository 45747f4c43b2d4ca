"""What a fit finds in a forked process; tests/integration/test_surroundings.py forks in earnest."""

import pytest
import torch
from threadpoolctl import threadpool_info

from catran_causalbench.utils import isolation


def openmp_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}


@pytest.mark.parametrize("loaded", ["torch", "sklearn"])
def test_a_process_forked_after_openmp_was_loaded_has_one_thread(monkeypatch, loaded):
    monkeypatch.setattr(isolation, "modules_before_fork", {"json", loaded})
    before = torch.get_num_threads(), openmp_threads()
    with isolation.one_at_a_time():
        assert (torch.get_num_threads(), openmp_threads()) == (1, {1})
    assert (torch.get_num_threads(), openmp_threads()) == before


def test_another_process_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(isolation, "modules_before_fork", {"json"})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with isolation.one_at_a_time():
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
