"""Colours, titles and files of all pictures of a network, and figures that pyplot does not manage."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from catran_causalbench.utils.atomic_io import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#333333", "#9A9A9A"
# From the palette of Okabe and Ito, which is safe for colour-blind readers.
ACTIVATION, REPRESSION, UNKNOWN = "#0072B2", "#D55E00", "#999999"
TITLE_SIZE, SUBTITLE_SIZE = 10.5, 8.5  # points
_WIDTH_OF_A_LETTER = 0.63  # of a bold one, as a share of its size; wide enough for capitals
DPI = 200  # of files


class Picture(Figure):
    """A figure that pyplot does not manage: it opens no window and is freed, but notebooks display it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def new_figure(size: tuple[float, float]) -> Figure:
    """Return a white figure; its size is in inches."""
    return Picture(figsize=size, facecolor="white")


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes belong to."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "the axes were removed from their figure"
    return figure


def wrapped(title: str, width: float) -> str:
    """Break a title into lines that fit into a width in points."""
    return textwrap.fill(title, max(12, int(width / (_WIDTH_OF_A_LETTER * TITLE_SIZE)))) if title else ""


def height_of_title(title: str, width: float) -> float:
    """Return how many inches a title and its subtitle take at the top of a figure whose width is in inches."""
    lines = wrapped(title, 72 * width - 20).count("\n") + 1 if title else 0
    return (lines * TITLE_SIZE * 1.25 + SUBTITLE_SIZE * 1.5 + 14) / 72


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write a title, in as many lines as it needs, and a subtitle into the upper left corner."""
    width, height = figure.get_size_inches()
    plain: dict[str, Any] = {"va": "top", "color": INK, "parse_math": False}  # a name may contain a dollar sign
    if title:
        text = wrapped(title, 72 * width - 20)
        figure.text(10 / 72 / width, 1 - 0.1 / height, text, fontsize=TITLE_SIZE, fontweight="bold", **plain)
    below = height_of_title(title, width) - (SUBTITLE_SIZE * 1.3 + 4) / 72
    figure.text(10 / 72 / width, 1 - below / height, subtitle, fontsize=SUBTITLE_SIZE, **plain)


def name_axes(axes: Axes, title: str) -> None:
    """Write a title above axes of the user's, if there is one."""
    if title:
        width = 72 * axes.get_window_extent().width / figure_of(axes).dpi
        axes.set_title(wrapped(title, width), loc="left", fontsize=TITLE_SIZE, color=INK, parse_math=False)


def save_figure(figure: Figure, path: str | os.PathLike[str] | None) -> None:
    """Write a figure, in the format of the file's ending, if there is a path; an existing file is replaced."""
    if path is not None:
        write_atomically(Path(path), lambda temporary: figure.savefig(temporary, dpi=DPI))
