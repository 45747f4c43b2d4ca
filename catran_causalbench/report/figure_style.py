"""What all figures share: type, each method's style, labels that do not collide."""

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
from catran_causalbench.report.aggregation import ORACLE, RANDOM, is_catran

# Inches: at a phone's width letters are still some 9 pixels high.
WIDTH = 5.2

# The palette of Okabe and Ito, which people with any kind of colour blindness can tell apart; vermilion is CaTran's.
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
    "text.parse_math": False,  # a name may hold a dollar
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
        """Arguments of a line."""
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
    """Give every method a style: CaTran's presets one strong colour, oracle and random grey, others theirs by name."""
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
    """Set type and lines for the figures made and saved within it."""
    return matplotlib.rc_context(_TYPE)


def panels(count: int, height: float, title: str, **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels side by side, and a title that says what the data are."""
    figure = new_figure((WIDTH, height))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(1, count, squeeze=False, **options)[0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=8, color="#666666")
    return figure, list(axes)


def short(method: str) -> str:
    """Cut a name that would leave no room for the figure."""
    return method if len(method) <= _LONGEST_NAME else method[: _LONGEST_NAME - 1] + "…"


def label_ends(figure: Figure, axis: Axes, ends: Mapping[str, float], styles: Styles) -> None:
    """Name lines at the right edge, in their colours, spread so that no name covers another.

    The axis needs its limits by now, and nearly the figure's height.
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
    """Move ascending positions apart to at least a gap, by as little as two sweeps do, and none below 0."""
    upwards, downwards = list(positions), list(positions)
    for index in range(1, len(upwards)):
        upwards[index] = max(upwards[index], upwards[index - 1] + gap)
        downwards[-index - 1] = min(downwards[-index - 1], downwards[-index] - gap)
    # Both keep the gap, so their mean keeps it too, and so does the larger of it and a row from 0 upwards.
    return [max((up + down) / 2, index * gap) for index, (up, down) in enumerate(zip(upwards, downwards, strict=True))]


def legend_below(figure: Figure, methods: Sequence[str], styles: Styles, lines: bool = True) -> None:
    """Name the methods under the figure, in three columns; without `lines` by their markers alone."""
    drawn = [{**styles[method].line, **({} if lines else {"linestyle": ""})} for method in methods]
    handles = [Line2D([], [], **line, label=short(method)) for line, method in zip(drawn, methods, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, handlelength=2.6)


def legend_height(methods: Sequence[str]) -> float:
    """Inches that :func:`legend_below` takes."""
    return 0.17 * -(-len(methods) // 3) + 0.1


def logarithmic(axis: Axes, which: str, least: float = 1.0) -> None:
    """Make the x or y axis logarithmic, labelled 0.1, 1, 10 rather than by powers.

    A range below the factor `least` is widened to it, so that small differences look small.
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
