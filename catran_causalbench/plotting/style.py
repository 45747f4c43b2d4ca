"""What the pictures of a network share: colours that everybody can tell apart, and figures without a window."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

INK, FAINT = "#333333", "#9A9A9A"
# From the palette of Okabe and Ito, which people with any kind of colour blindness can tell apart.
ACTIVATION, REPRESSION, UNKNOWN = "#0072B2", "#D55E00", "#999999"


class Picture(Figure):
    """A figure that pyplot, which keeps figures and opens windows, has no part in; a notebook shows it all the same."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def new_figure(size: tuple[float, float]) -> Figure:
    """Make a white figure of so many inches."""
    return Picture(figsize=size, facecolor="white")


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write what the picture is of into its upper left corner; a long title in smaller type."""
    line = 1 / figure.get_figheight()  # an inch
    size = min(11.0, 112 * figure.get_figwidth() / max(len(title), 1))
    plain: dict[str, Any] = {"va": "top", "color": INK, "parse_math": False}  # a name may hold a dollar
    figure.text(0.02, 1 - 0.1 * line, title, fontsize=size, fontweight="bold", **plain)
    figure.text(0.02, 1 - (0.33 if title else 0.1) * line, subtitle, fontsize=8.5, **plain)
