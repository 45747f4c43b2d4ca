"""Settings of the baselines that have any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.utils.validation import Validated, number


@dataclass(frozen=True)
class DcdiSettings(Validated):
    """Training of DCDI and DCDFG.

    Attributes
    ----------
    training_share
        Share of CausalBench's 60,000 iterations (DCDI) or 600 epochs (DCDFG), which take hours on a CPU. A model that
        is trained for less is not the published one.
    """

    section: ClassVar[str] = "dcdi"

    training_share: float = number(1.0, 0, 1, above_low=True)
