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
_SMALLEST_RATIO = 1e-6  # a power of less would not be finite
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
    """What an expected effect is worth: scale · effect · (effect / error) ** (exponent − 1).

    The error is the standard error of the measured effects of the same source: evidence from more cells is shrunk less.
    Where effect / error exceeds ``largest`` this is a line.
    """

    scale: float = 1.0
    exponent: float = 1.0
    largest: float = inf

    def __call__(self, effect: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """Return calibrated effects; among sources of equal error they are in the order of the given ones."""
        known = (effect / error).clamp(_SMALLEST_RATIO, self.largest)
        return self.scale * known ** (self.exponent - 1) * effect

    @classmethod
    def fit(cls, pairs: LeftOutPairs) -> PowerLaw:
        """Fit by least squares, and change the scale no more than the left-out sources demand.

        The scale which keeps the sum of the effects stays unless it lies more than a standard error, between sources,
        from the one which fits best; else it is the nearer end of that interval. The best scale itself would be too
        small: expected effects are averages over all networks, and those of a single one, from fewer sources, are worth
        less. With few pairs the exponent stays close to 1.
        """
        if pairs.num_sources < 2:
            return cls()
        precision = pairs.precision
        ratio = (pairs.expected / pairs.error).clip(_SMALLEST_RATIO)
        powers = pairs.error * np.exp(np.outer(_EXPONENTS, np.log(ratio)))  # exponents × N
        product, square = powers @ (precision * pairs.observed), powers**2 @ precision
        explained = product.clip(0) ** 2 / square
        best = int(np.argmax(explained - ((_EXPONENTS - 1) / _EXPONENT_SPREAD) ** 2))
        power, scale, neutral = (
            powers[best],
            product[best] / square[best],
            powers[best] @ (precision * pairs.error * ratio),
        )
        residuals = np.bincount(pairs.source, precision * power * (pairs.observed - scale * power))
        error = np.sqrt((residuals**2).sum() * pairs.num_sources / (pairs.num_sources - 1)) / square[best]
        scale = np.clip(neutral / square[best], scale - error, scale + error)
        return cls(max(float(scale), _SMALLEST_SCALE), float(_EXPONENTS[best]), float(np.quantile(ratio, _KNOWN_SHARE)))

    def weakened(self, weight: float) -> PowerLaw:
        """Return the law to the power of a weight: itself for 1, no change for 0."""
        return PowerLaw(self.scale**weight, 1 + weight * (self.exponent - 1), self.largest)
