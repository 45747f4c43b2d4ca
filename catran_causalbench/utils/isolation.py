"""What keeps fits apart that share a process, or come from one process by a fork, and from what users set for torch.

Threads of a process share the state of its libraries: how many threads BLAS uses, which warnings are hidden, what
Lightning logs. So one fit works at a time, and others wait for their turn.

A fork copies one thread only. OpenMP, which torch and scikit-learn bring along, would wait forever for the threads that
it had in the parent process, so a forked process that inherits one of them has to do without threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from catran_causalbench import modules_before_fork

_USE_OPENMP = {"torch", "sklearn"}

_turn = threading.RLock()


def _new_lock() -> None:
    """Free the lock in a forked process: another thread may have held it, which is not there to release it."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_new_lock)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one thread of the process into the block at a time, which finds libraries in the same state every time.

    In a forked process they use one thread there.
    """
    forked = not _USE_OPENMP.isdisjoint(modules_before_fork)
    with (
        _turn,
        _torch_defaults() if "torch" in sys.modules else nullcontext(),  # else nobody has set anything
        _one_thread() if forked else nullcontext(),
    ):
        yield


@contextmanager
def _torch_defaults() -> Iterator[None]:
    """Give the block torch's default type and device, and gradients, whatever the caller's own models need."""
    import torch

    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device(None)
    try:
        with torch.inference_mode(False), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="openmp"):
            yield
    finally:
        torch.set_num_threads(threads)
