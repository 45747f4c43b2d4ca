"""Calibration of expected effects on sources that the gates never saw.

Gates that learn from a few sources partly learn these by heart, and what they expect elsewhere is then too large; a
robust loss and input noise, on the other hand, flatten what they expect. Both errors show where a gate network predicts
the effects of sources that were left out of its training. A power law takes them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

_EXPONENTS = np.linspace(0.5, 3.0, 51)
_EXPONENT_SPREAD = 0.5  # of the prior around 1: the fewer pairs there are, the closer the exponent is to 1
_SMALLEST_SCALE = 1e-3  # an order remains among sources of which nothing can be predicted
_SMALLEST_EFFECT = 1e-6  # a power of less would not be finite


@dataclass(frozen=True)
class PowerLaw:
    """What an expected effect is worth: ``scale`` · effect ** ``exponent``, in the target's standard deviations."""

    scale: float = 1.0
    exponent: float = 1.0

    def __call__(self, effect: torch.Tensor) -> torch.Tensor:
        """Return calibrated effects, in the order of the given ones."""
        return torch.where(
            effect > _SMALLEST_EFFECT, self.scale * effect.clamp_min(_SMALLEST_EFFECT) ** self.exponent, effect
        )

    @classmethod
    def fit(
        cls, expected: np.ndarray, observed: np.ndarray, error: np.ndarray, source: np.ndarray, weight: float
    ) -> PowerLaw:
        """Fit by least squares.

        The scale is shrunk towards 0 the more, the less the sources agree on it: where nothing is known to be
        predictable, nothing is predicted.

        Parameters
        ----------
        expected, observed, error, source
            N each: the effect that gates expected whose training left out its source; the measured effect with its
            standard error; the source.
        weight
            Of each pair: less than 1 where pairs occur several times.
        """
        num_sources = len(np.unique(source))
        if num_sources < 2:
            return cls()
        expected = expected.clip(_SMALLEST_EFFECT)
        # Large effects are rare, so what is left of a pair's effect varies in proportion to what was expected.
        weights = weight / (error**2 + expected)
        powers = expected ** _EXPONENTS[:, None]  # exponents × N
        product, square = powers @ (weights * observed), powers**2 @ weights
        explained = product.clip(0) ** 2 / square
        best = int(np.argmax(explained - ((_EXPONENTS - 1) / _EXPONENT_SPREAD) ** 2))
        power, scale = powers[best], product[best] / square[best]
        residual = np.bincount(source, weights * power * (observed - scale * power))
        variance = (residual**2).sum() / square[best] ** 2 * num_sources / (num_sources - 1)
        shrunk = max(scale, 0) ** 3 / (scale**2 + variance + 1e-12)
        return cls(max(float(shrunk), _SMALLEST_SCALE), float(_EXPONENTS[best]))
