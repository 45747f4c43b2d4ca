"""Forked and spawned processes, threads, event loops, notebooks: the edges are the same in all of them."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import PYTHONPATH
from surroundings_worker import edges, send_edges, send_edges_and_notebook
from threadpoolctl import threadpool_info

from catran_causalbench.training import trainer
from catran_causalbench.utils import isolation

SECONDS = 90  # far more than any of the processes needs


@pytest.fixture(scope="module")
def expected():
    """The edges, trained on two threads, so that this process has OpenMP's threads, which forks do not inherit."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield edges()
    torch.set_num_threads(before)


def received(start_method, target, answers=1):
    """What a process sends; the test fails if it hangs."""
    context = multiprocessing.get_context(start_method)
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sending,), daemon=True)
    process.start()
    sending.close()
    try:
        for _ in range(answers):
            assert receiving.poll(SECONDS), f"no answer within {SECONDS} seconds"
            yield receiving.recv()
    finally:
        process.kill()
        process.join()


@pytest.mark.guarantee(
    "Several processes",
    "A process that was forked after a fit, or spawned, fits too, with the same edges; after a fork on one thread.",
)
def test_a_forked_process_fits_like_its_parent(expected):
    assert list(received("fork", send_edges)) == [expected]


def test_a_process_that_is_forked_during_a_fit_does_not_wait_for_it(expected):
    """The lock that another thread holds is copied, and nobody in the new process would release it."""
    fitting, finish = threading.Event(), threading.Event()

    def fit():
        with isolation.one_at_a_time():
            fitting.set()
            finish.wait(SECONDS)

    with ThreadPoolExecutor() as pool:
        pool.submit(fit)
        fitting.wait(SECONDS)
        try:
            assert list(received("fork", send_edges)) == [expected]
        finally:
            finish.set()


def test_a_fork_leaves_the_number_of_threads_alone(expected):
    def send_threads(connection):
        edges()
        connection.send(torch.get_num_threads())

    assert list(received("fork", send_threads)) == [2]


def test_a_spawned_process_and_a_notebook(expected, monkeypatch):
    """A notebook shows a table, and no progress bars, warnings or logs; its event loop goes on during a fit."""
    pytest.importorskip("IPython")
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH, prepend=os.pathsep)
    spawned, (shown, printed, in_notebook) = received("spawn", send_edges_and_notebook, answers=2)
    assert spawned == in_notebook == expected
    assert "<table" in shown["text/html"]
    assert expected[0][1] in shown["text/html"]
    assert shown["text/plain"].startswith("FittedNetwork: catran, 12 genes")
    assert printed == ""


@pytest.mark.guarantee("Determinism", "Fits in several threads of a process, or in an event loop, give the same edges.")
def test_threads_fit_one_after_the_other(expected, monkeypatch):
    """What libraries share between threads would decide the edges, and stay behind changed."""
    inside, most = [], []

    def observed(*arguments):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.1)  # long enough for the other thread to be here, too, if it may
        train(*arguments)
        inside.pop()

    train = trainer.train
    monkeypatch.setattr(trainer, "train", observed)
    shared = shared_state()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(edges, [0, 1])
    assert max(most) == 1
    assert first == expected
    assert second == edges(1) != expected
    assert shared_state() == shared


def shared_state():
    """What the threads of a process share."""
    loggers = [logging.getLogger(name).level for name in ("pytorch_lightning", "lightning.pytorch")]
    threads = [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]
    return warnings.filters[:], loggers, threads, torch.get_num_threads()


def test_an_event_loop(expected):
    async def in_the_loop_and_beside_it():
        here = edges()
        return here, *await asyncio.gather(*(asyncio.to_thread(edges) for _ in range(2)))

    assert asyncio.run(in_the_loop_and_beside_it()) == (expected,) * 3


@contextlib.contextmanager
def torch_default(name, value):
    """Set one of torch's defaults, and see that it is still set at the end."""
    before = getattr(torch, f"get_default_{name}")()
    getattr(torch, f"set_default_{name}")(value)
    try:
        yield
        assert getattr(torch, f"get_default_{name}")() == value
    finally:
        getattr(torch, f"set_default_{name}")(before)


STATES = {
    "double precision": lambda: torch_default("dtype", torch.float64),
    "another device": lambda: torch_default("device", torch.device("meta")),  # which no machine lacks
    "no gradients": torch.inference_mode,
    "automatic precision": lambda: torch.autocast("cpu", torch.bfloat16),
    "errors of NumPy": lambda: np.errstate(all="raise"),
}


@pytest.mark.guarantee(
    "Determinism", "What a program sets for other models in torch and NumPy does not change the edges."
)
@pytest.mark.parametrize("state", STATES)
def test_what_users_set_for_other_models_changes_nothing(expected, state):
    with STATES[state]():
        assert edges() == expected
