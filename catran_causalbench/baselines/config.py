"""Settings of the baselines that have any, and packages of other authors that some of them need."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.errors import InputError
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


# By the name of the baseline, which is that of its package, too. SDCD's own limits exclude pandas 2 and so the versions
# that this package needs, though it works with them: pip could not install it as an extra.
INSTALL = {"dspin": "pip install 'catran-causalbench[dspin]'", "sdcd": "pip install --no-deps sdcd==0.1.4"}


def require_package(name: str) -> None:
    """Raise InputError, which says how to install it, if the package of a baseline is missing."""
    if name in INSTALL and importlib.util.find_spec(name) is None:
        raise InputError.of("method", f"{name!r} without its package", INSTALL[name])
