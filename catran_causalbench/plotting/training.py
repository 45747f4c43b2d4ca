"""Training losses, one panel for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catran_causalbench.errors import InputError
from catran_causalbench.plotting.style import ACTIVATION, FAINT, INK, new_figure, write_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PREFIX = "loss/"
_TITLES = {
    "held_out_effect": "loss on held-out effects",
    "masked": "reconstruction of masked genes",
    "unmasked": "reconstruction of unmasked genes",
    "interventional": "loss on knockdown effects",
    "total": "weighted sum",
}
# From so many points on, a running median shows the trend beneath the noise of single steps.
_MANY_POINTS = 100


def draw_training(losses: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw loss curves in a figure that pyplot does not manage; raise InputError where there are no losses.

    ``losses`` has the columns ``step`` and ``loss/…``, and one row per step (model ``evidence``) or epoch (``catran``);
    ``title`` describes the data.
    """
    logged = losses.dropna(axis=1, how="all")
    names = [str(name).removeprefix(_PREFIX) for name in logged if str(name).startswith(_PREFIX)]
    if not names or logged.empty:
        raise InputError.of("losses", "no values", "those of a model that was trained")
    terms = [name for name in _TITLES if name in names] + [name for name in names if name not in _TITLES]
    columns = min(len(terms), 2)
    rows = -(-len(terms) // columns)
    figure = new_figure((3.7 * columns + 0.4, 2.3 * rows + 0.9))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.15 / width, bottom=0.45 / height, top=1 - 0.85 / height, hspace=0.35, wspace=0.25
    )
    for term, axes in zip(terms, grid.flat, strict=False):
        _draw_curve(axes, logged["step"], logged[_PREFIX + term])
        axes.set_title(_TITLES.get(term, term), loc="left", fontsize=9, color=INK)
    for axes in grid.flat[len(terms) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("step", fontsize=8, color=INK)
    write_title(figure, title, f"Training losses, {len(logged):,} values logged")
    return figure


def _draw_curve(axes: Axes, steps: pd.Series, values: pd.Series) -> None:
    if len(values) >= _MANY_POINTS:
        axes.plot(steps, values, color=FAINT, linewidth=0.6, alpha=0.7)
        values = values.rolling(max(5, len(values) // 20), center=True, min_periods=1).median()
    axes.plot(steps, values, color=ACTIVATION, linewidth=1.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.7)
    axes.tick_params(labelsize=7.5, colors=INK)
