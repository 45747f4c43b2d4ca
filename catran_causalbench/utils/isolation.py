"""What keeps fits apart that share a process, or come from one process by a fork.

Threads of a process share the state of its libraries: how many threads BLAS uses, which warnings are hidden, what
Lightning logs. So one fit works at a time, and others wait for their turn.

A fork copies one thread only. OpenMP, which torch and scikit-learn bring along, would wait forever for the threads that
it had in the parent process, so a forked process that inherits one of them has to do without threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
    """Let one thread of the process into the block at a time; in a forked process, libraries use one thread there."""
    with _turn:
        if _USE_OPENMP.isdisjoint(modules_before_fork):
            yield
            return
        import torch
        from threadpoolctl import threadpool_limits

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1, user_api="openmp"):
                yield
        finally:
            torch.set_num_threads(before)
