"""How much of the machine this process may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Count the cores that the system lets this process run on; macOS and Windows cannot bind it to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
