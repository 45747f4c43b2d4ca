"""Work on several threads, with a result that does not depend on their number.

The work is cut into the same shares whatever the number of threads, and one thread does each share. These are plain
threads rather than those of numba, OpenMP or BLAS: the pools of several libraries would compete for the same cores, and
BLAS rounds differently when it shares a product between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Share = TypeVar("Share")


def in_threads(work: Callable[[Share], None], shares: Sequence[Share], worthwhile: bool = True) -> None:
    """Do every share of some work, on as many threads as torch uses, or on one where more do not pay."""
    threads = min(torch.get_num_threads(), len(shares)) if worthwhile else 1
    if threads == 1:
        for share in shares:
            work(share)
        return
    with ThreadPoolExecutor(threads) as pool:
        for finished in [pool.submit(work, share) for share in shares]:
            finished.result()
