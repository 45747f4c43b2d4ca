"""Places for the names of genes in a drawing: whole, inside the page, and never over a gene or another name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from catran_causalbench.plotting.style import DPI, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Possible places, best first: points between a gene and its name, and sides. Distant names get a line to their gene.
_GAPS = (1.5, 6.0, 12.0, 20.0, 32.0)
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.7), (-0.8, 0.7), (0.8, -0.7), (-0.8, -0.7)])
_DISTANT = 10.0  # points
_CLEARANCE = 0.8  # points around a name, since letters are rounded to pixels
_SMALLEST = 6.0  # points; readable in print


class Label(NamedTuple):
    """A name to place: where its gene is and how large, and the size of the letters."""

    name: str
    centre: np.ndarray
    radius: float
    size: float
    bold: bool


def place_labels(axes: Axes, labels: Iterable[Label], discs: np.ndarray, lines: np.ndarray) -> int:
    """Write names beside their genes, the first ones at the best places; return how many found no place.

    Parameters
    ----------
    axes
        One unit is one point.
    labels
        The most important first. A name that finds no place is tried in smaller letters, then left out.
    discs
        Boxes of all genes, x and y from, x and y to.
    lines
        Points along the edges, which names avoid if they can.
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    renderers = [
        RendererAgg(1, 1, dpi) for dpi in (100, DPI)
    ]  # letters are rounded to pixels, on a screen and in a file
    sheet = Figure()  # names are measured on it: to change the resolution of a full figure takes long
    page = np.array([axes.get_xlim()[1], axes.get_ylim()[1]])
    taken, left_out = discs, 0
    for label in labels:
        sizes = sorted({label.size, max(_SMALLEST, 0.8 * label.size), _SMALLEST}, reverse=True)
        for gaps, size in itertools.product((_GAPS[:2], _GAPS), sizes):  # near its gene, rather than large
            style: dict[str, Any] = {"fontsize": size, "fontweight": "bold" if label.bold else "normal"}
            style |= {"ha": "center", "va": "center", "parse_math": False}
            measured = sheet.text(0, 0, label.name, **style)
            boxes = [measured.get_window_extent(each, dpi=each.dpi).size * 72 / each.dpi for each in renderers]
            measured.remove()
            extent = 1.02 * np.max(boxes, axis=0) + 2 * _CLEARANCE
            found = _best_place(label, extent, gaps, taken, lines, page)
            if found is not None:
                middle, gap = found
                halo = [withStroke(linewidth=2, foreground="white")]
                axes.text(
                    float(middle[0]), float(middle[1]), label.name, **style, color=INK, zorder=6, path_effects=halo
                )
                taken = np.vstack([taken, [*(middle - extent / 2), *(middle + extent / 2)]])
                _lead(axes, label, middle, extent / 2, gap)
                break
        else:
            left_out += 1
    return left_out


def _best_place(
    label: Label, size: np.ndarray, gaps: Sequence[float], taken: np.ndarray, lines: np.ndarray, page: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return the middle of the name at its best free place, and its distance from the gene; None without any."""
    spots = list(itertools.product(gaps, _SIDES))
    middle = np.array([label.centre + side * (label.radius + gap) + np.sign(side) * size / 2 for gap, side in spots])
    low, high = middle - size / 2, middle + size / 2
    covered = np.any(np.all((low[:, None] < taken[:, 2:]) & (high[:, None] > taken[:, :2]), axis=2), axis=1)
    outside = ((low < 0) | (high > page)).any(axis=1)
    crossed = ((lines > low[:, None]) & (lines < high[:, None])).all(axis=2).sum(axis=1)
    cost = np.where(covered | outside, np.inf, crossed + np.array([gap for gap, _ in spots]) / 2)
    best = int(np.argmin(cost))
    return None if np.isinf(cost[best]) else (middle[best], spots[best][0])


def _lead(axes: Axes, label: Label, middle: np.ndarray, half: np.ndarray, gap: float) -> None:
    """Draw a thin line from a gene to its name, if that stands at a distance."""
    if gap >= _DISTANT:
        nearest = np.clip(label.centre, middle - half, middle + half)
        axes.plot(*np.transpose([label.centre, nearest]), color="#BBBBBB", linewidth=0.5, zorder=1.5)
