"""Shared by all figures of the report: fonts, the style of each method, labels that do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from catran_causalbench.plotting.style import INK, new_figure
from catran_causalbench.report.aggregation import RANDOM, is_catran
from catran_causalbench.sweep.plan import ORACLE

_WIDTH = 5.2  # inches: on the screen of a phone, letters are still some 9 pixels high

# The palette of Okabe and Ito, which can be distinguished with any kind of colour blindness; vermilion is CaTran's.
_CATRAN = "#D55E00"
_OTHERS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "s^DvPX<>"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
_LONGEST_NAME = 22

_TYPE: dict[Any, Any] = {
    **dict.fromkeys(["font.size", "axes.titlesize", "axes.labelsize"], 9),
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "legend.fontsize"], 8),
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"], INK),
    **dict.fromkeys(["xtick.color", "ytick.color"], "#666666"),
    **dict.fromkeys(["axes.spines.top", "axes.spines.right", "axes.formatter.useoffset"], False),
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "text.parse_math": False,  # a name may contain a dollar sign
    "svg.hashsalt": "catran-causalbench",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn in every figure."""

    colour: str
    marker: str
    dashes: Any
    width: float
    order: int

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of matplotlib's lines."""
        return {
            "color": self.colour,
            "linestyle": self.dashes,
            "linewidth": self.width,
            "zorder": self.order,
            "marker": self.marker,
            "markersize": 4 + self.width,
            "markeredgecolor": "white",
            "markeredgewidth": 0.6,
        }


Styles = Mapping[str, MethodStyle]


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """Choose each method's style: one strong colour for CaTran, grey for oracle and random, others in turn."""
    found, catrans, others = {}, 0, 0
    for method in sorted(set(methods)):
        if is_catran(method):
            found[method] = MethodStyle(_CATRAN, "o*hp8"[catrans % 5], _DASHES[min(catrans, 2)], 2.4, 6)
            catrans += 1
        elif method in (ORACLE, RANDOM):
            found[method] = MethodStyle(*(("#6E6E6E", "d") if method == ORACLE else ("#A0A0A0", "H")), ":", 1.3, 3)
        else:
            colour = _OTHERS[others % len(_OTHERS)]
            dashes = _DASHES[others // len(_OTHERS) % len(_DASHES)]
            found[method] = MethodStyle(colour, _MARKERS[others % len(_MARKERS)], dashes, 1.3, 4)
            others += 1
    return found


def style() -> Any:
    """Return a context in which figures are made and saved with the report's fonts and lines."""
    return matplotlib.rc_context(_TYPE)


def panels(
    count: int, height: float, title: str, legend: Styles | None = None, lines: bool = True, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels side by side, ``height`` inches high, and a title that says what the data are.

    Below the panels, a legend names methods; without ``lines`` it shows markers alone. Options go to ``subplots``.
    """
    names = legend or {}
    figure = new_figure((_WIDTH, height + (0.17 * -(-len(names) // 3) + 0.1 if names else 0)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(1, count, squeeze=False, **options)[0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=8, color="#666666")
    if names:
        drawn = {method: {**each.line, **({} if lines else {"linestyle": ""})} for method, each in names.items()}
        handles = [Line2D([], [], **line, label=short(method)) for method, line in drawn.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, handlelength=2.6)
    return figure, list(axes)


def short(method: str) -> str:
    """Shorten a name that would leave no room for the figure."""
    return method if len(method) <= _LONGEST_NAME else method[: _LONGEST_NAME - 1] + "…"


def label_ends(figure: Figure, axis: Axes, ends: Mapping[str, float], styles: Styles) -> None:
    """Name lines at the right edge, in their colours, so that no name covers another.

    The limits of the axis must be final, and its height nearly that of the figure.
    """
    methods = sorted((name for name in ends if not np.isnan(ends[name])), key=lambda name: ends[name])
    gap = 10.5 / 72 / (0.78 * figure.get_figheight())
    to_axis = axis.transData + axis.transAxes.inverted()
    heights = [float(to_axis.transform((axis.get_xlim()[1], ends[name]))[1]) for name in methods]
    for name, height, place in zip(methods, heights, spread(heights, gap), strict=True):
        colour = styles[name].colour
        pointer = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 0, "relpos": (0, 0.5)}
        axis.annotate(
            short(name),
            xy=(1.0, height),
            xytext=(1.08, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold" if is_catran(name) else "normal",
            arrowprops=pointer,
        )


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move ascending positions apart, by little, until all gaps have a minimum and none is below 0."""
    upwards, downwards = list(positions), list(positions)
    for index in range(1, len(upwards)):
        upwards[index] = max(upwards[index], upwards[index - 1] + gap)
        downwards[-index - 1] = min(downwards[-index - 1], downwards[-index] - gap)
    # Both have the gap, so their mean has it too, and so has the maximum of it and evenly spaced positions from 0.
    return [max((up + down) / 2, index * gap) for index, (up, down) in enumerate(zip(upwards, downwards, strict=True))]


def logarithmic(axis: Axes, which: str, least: float = 1.0) -> None:
    """Make the x or y axis logarithmic, with labels such as 0.1, 1 and 10 instead of powers.

    A range smaller than the factor ``least`` is widened to it, so that small differences look small.
    """
    getattr(axis, f"set_{which}scale")("log")
    low, high = getattr(axis, f"get_{which}lim")()
    widening = max(1.0, (least * low / high) ** 0.5)
    low, high = low / widening, high * widening
    getattr(axis, f"set_{which}lim")(low, high)
    between = (1,) if high > 60 * low else (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 5, 7)
    scale = getattr(axis, f"{which}axis")
    scale.set_major_locator(LogLocator(subs=between, numticks=12))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    scale.set_minor_formatter(NullFormatter())
