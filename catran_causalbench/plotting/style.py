"""Colours and titles of all figures of a network, and figures that pyplot does not manage."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

INK, FAINT = "#333333", "#9A9A9A"
# From the palette of Okabe and Ito, which is safe for colour-blind readers.
ACTIVATION, REPRESSION, UNKNOWN = "#0072B2", "#D55E00", "#999999"


class Picture(Figure):
    """A figure that pyplot does not manage: it opens no window and is freed, but notebooks display it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def new_figure(size: tuple[float, float]) -> Figure:
    """Return a white figure; its size is in inches."""
    return Picture(figsize=size, facecolor="white")


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write a title (smaller if it is long) and a subtitle into the upper left corner."""
    line = 1 / figure.get_figheight()  # one inch
    size = min(11.0, 112 * figure.get_figwidth() / max(len(title), 1))
    plain: dict[str, Any] = {"va": "top", "color": INK, "parse_math": False}  # a name may contain a dollar sign
    figure.text(0.02, 1 - 0.1 * line, title, fontsize=size, fontweight="bold", **plain)
    figure.text(0.02, 1 - (0.33 if title else 0.1) * line, subtitle, fontsize=8.5, **plain)
