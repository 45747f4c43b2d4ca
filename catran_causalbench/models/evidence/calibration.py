"""Calibration of expected effects on sources that the gates never saw.

Gates that learn from a few sources partly learn these by heart, and what they expect elsewhere is then too large; a
robust loss and input noise, on the other hand, flatten what they expect. Both errors show where a gate network predicts
the effects of sources that were left out of its training.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import torch

_EXPONENTS = np.linspace(0.5, 2.0, 31)
_EXPONENT_SPREAD = 0.5  # of the prior around 1: the fewer pairs there are, the closer the exponent is to 1
_SMALLEST_SCALE = 1e-3  # an order remains among sources of which nothing can be predicted
_SMALLEST_EFFECT = 1e-6  # a power of less would not be finite
_KNOWN_SHARE = 0.999  # of the expected effects, on which a law is taken to be known; beyond, it goes on as a line


@dataclass(frozen=True)
class LeftOutPairs:
    """N pairs whose sources a gate network was not trained on, all arrays of length N.

    Attributes
    ----------
    expected, observed, error
        The effect that the network expected; the measured effect with its standard error.
    source
        The gene that was perturbed.
    weight
        Of each pair: less than 1 where pairs occur several times.
    """

    expected: np.ndarray
    observed: np.ndarray
    error: np.ndarray
    source: np.ndarray
    weight: float = 1.0

    @property
    def num_sources(self) -> int:
        """Number of different sources."""
        return len(np.unique(self.source))

    @property
    def precision(self) -> np.ndarray:
        """Weight of each pair in least squares, N.

        Large effects are rare, so what is left of an effect varies in proportion to what was expected of it.
        """
        return self.weight / (self.error**2 + self.expected.clip(0))


@dataclass(frozen=True)
class PowerLaw:
    """What an expected effect is worth: scale · effect ** exponent up to the largest, and a line from there."""

    scale: float = 1.0
    exponent: float = 1.0
    largest: float = inf

    def __call__(self, effect: torch.Tensor) -> torch.Tensor:
        """Return calibrated effects, in the order of the given ones."""
        known = effect.clamp(_SMALLEST_EFFECT, self.largest)
        return self.scale * known ** (self.exponent - 1) * effect

    @classmethod
    def fit(cls, pairs: LeftOutPairs) -> PowerLaw:
        """Fit by least squares; with few pairs the exponent stays close to 1."""
        if pairs.num_sources < 2:
            return cls()
        powers = pairs.expected.clip(_SMALLEST_EFFECT) ** _EXPONENTS[:, None]  # exponents × N
        product, square = powers @ (pairs.precision * pairs.observed), powers**2 @ pairs.precision
        explained = product.clip(0) ** 2 / square
        best = int(np.argmax(explained - ((_EXPONENTS - 1) / _EXPONENT_SPREAD) ** 2))
        scale = max(float(product[best] / square[best]), _SMALLEST_SCALE)
        return cls(scale, float(_EXPONENTS[best]), float(np.quantile(pairs.expected, _KNOWN_SHARE)))

    @classmethod
    def correct(cls, pairs: LeftOutPairs) -> PowerLaw:
        """Change the scale no more than the left-out sources demand.

        It is 1 unless that lies more than a standard error, between sources, from the scale which fits best, and else
        the nearer end of that interval. A fitted scale would be too small: expected effects are averages over all
        networks, and those of a single one, from fewer sources, are worth less.
        """
        if pairs.num_sources < 2:
            return cls()
        expected = pairs.expected.clip(_SMALLEST_EFFECT)
        square = pairs.precision @ expected**2
        scale = pairs.precision @ (expected * pairs.observed) / square
        residuals = np.bincount(pairs.source, pairs.precision * expected * (pairs.observed - scale * expected))
        error = np.sqrt((residuals**2).sum() * pairs.num_sources / (pairs.num_sources - 1)) / square
        return cls(max(float(np.clip(1.0, scale - error, scale + error)), _SMALLEST_SCALE))
