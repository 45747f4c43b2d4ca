"""Settings of the baselines; the others have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.utils.validation import Validated, number


@dataclass(frozen=True)
class DcdiSettings(Validated):
    """Settings of DCDI and DCD-FG.

    Attributes
    ----------
    training_share
        Share of CausalBench's 60,000 iterations (DCDI) or 600 epochs (DCD-FG), above 0 and at most 1. The whole
        training takes hours on a CPU.
    """

    section: ClassVar[str] = "dcdi"

    training_share: float = number(1.0, 0, 1, above_low=True)
