"""Work on several threads, with a result that does not depend on their number.

The work is divided into the same shares whatever the number of threads, and one thread does each share. These are
Python's threads rather than those of numba, OpenMP or BLAS: the pools of several libraries would compete for the same
cores, and BLAS rounds differently when it divides a product between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import threadpool_limits

Share = TypeVar("Share")
Item = TypeVar("Item")
Result = TypeVar("Result")

_threads = 0  # of in_threads while torch keeps to one; 0: as many as torch uses


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Keep torch from dividing its operations between threads; :func:`in_threads` uses as many as torch did before."""
    import torch

    global _threads
    threads, outer = torch.get_num_threads(), _threads
    torch.set_num_threads(1)
    _threads = outer or threads
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _threads = outer


def blas_on_one_thread() -> threadpool_limits:
    """Hold BLAS and LAPACK to one thread: on some processors their rounding depends on the number of threads."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def in_threads(work: Callable[[Share], Result], shares: Sequence[Share], worthwhile: bool = True) -> list[Result]:
    """Do every share of some work, on as many threads as torch uses, or in the calling one where more do not pay."""
    import torch

    threads = min(_threads or torch.get_num_threads(), len(shares)) if worthwhile else 1
    if threads <= 1:
        return [work(share) for share in shares]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, shares))  # raises what a share raised


@contextmanager
def prefetched(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Yield an iterator over the same items; a second thread makes the next one while the caller works.

    It starts with the first at once. An error in making an item is raised where the item is asked for. When the block
    ends, the item that is being made is waited for.
    """
    source = iter(items)

    def make() -> list[Item]:
        return [*islice(source, 1)]

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(make)

        def fetch() -> Iterator[Item]:
            upcoming = first
            while made := upcoming.result():
                upcoming = pool.submit(make)
                yield from made

        yield fetch()
