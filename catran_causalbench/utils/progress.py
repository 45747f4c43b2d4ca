"""What is being done at the moment, told to whoever listens: a bar or plain lines on a command line, else nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], object]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(stage: str, done: int = 0, total: int = 0) -> None:
    """Say what is being done, and how many parts of how many are; a total of 0 is one that is not known."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call a function with every report while a block runs."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
