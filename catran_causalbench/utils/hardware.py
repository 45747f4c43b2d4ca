"""The machine: its cores, its processor, its GPU, and the memory that a block of code takes."""

from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch


def available_cores() -> int:
    """Return the number of cores that this process may use; macOS and Windows cannot restrict it to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def best_device() -> torch.device:
    """Return the GPU where there is one that torch can use, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class PeakMemory:
    """Measure the resident memory of this process, fifty times a second, while a block runs.

    ``peak_megabytes`` is the most beyond what the process held before, since libraries and data are the same for every
    method. It is at least 1: less cannot be told from the noise of the system.
    """

    peak_megabytes = 1.0

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure_until_over, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._measure()

    def _measure_until_over(self) -> None:
        while not self._over.wait(0.02):
            self._measure()

    def _measure(self) -> None:
        added = self._process.memory_info().rss - self._before
        self.peak_megabytes = max(self.peak_megabytes, added / 1e6)


def describe_machine() -> dict[str, Any]:
    """Return the processor, the cores that numerical libraries may use, and the GPU where there is one."""
    torch = sys.modules.get("torch")  # a method that did not import it used no GPU
    return {
        "processor": _processor(),
        "cores": int(os.environ.get("OMP_NUM_THREADS") or available_cores()),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
