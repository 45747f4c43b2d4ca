"""The pictures of a fitted network, as its methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class NetworkPictures:
    """What a network with edges, an adjacency and a history of its training can draw of itself."""

    origin: str
    history: pd.DataFrame

    def edges(self, num_edges: int | None = None) -> pd.DataFrame:
        """Return the strongest edges, best first."""
        raise NotImplementedError

    def adjacency(self) -> pd.DataFrame:
        """Return the weights of all pairs, source × target."""
        raise NotImplementedError

    def plot_network(
        self,
        num_edges: int | None = None,
        *,
        title: str | None = None,
        ax: Axes | None = None,
        save: str | os.PathLike[str] | None = None,
    ) -> Figure:
        """Draw the strongest edges; see :func:`~catran_causalbench.plotting.network.draw_network`.

        By default as many of :meth:`edges` are drawn as can be told apart. ``title`` replaces the origin of the data,
        ``ax`` takes the picture instead of a new figure, and ``save`` is a file to write the figure to.
        """
        from catran_causalbench.plotting.network import draw_network

        edges = self.edges(num_edges)
        return draw_network(edges, num_edges is None, title=self._title(title, ax), ax=ax, save=save)

    def plot_attention(
        self,
        num_genes: int | None = 60,
        *,
        title: str | None = None,
        ax: Axes | None = None,
        save: str | os.PathLike[str] | None = None,
    ) -> Figure:
        """Draw the weights as a heat map; see :func:`~catran_causalbench.plotting.attention.draw_attention`.

        For ``title``, ``ax`` and ``save`` see :meth:`plot_network`.
        """
        from catran_causalbench.plotting.attention import draw_attention

        return draw_attention(self.adjacency(), num_genes, title=self._title(title, ax), ax=ax, save=save)

    def plot_training(
        self,
        *,
        title: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        save: str | os.PathLike[str] | None = None,
    ) -> Figure:
        """Draw the losses of the training; raise InputError where nothing was trained.

        For ``title``, ``ax`` and ``save`` see :meth:`plot_network`; ``ax`` has as many axes as there are losses.
        """
        from catran_causalbench.plotting.training import draw_training

        return draw_training(self.history, title=self._title(title, ax), ax=ax, save=save)

    def _title(self, title: str | None, ax: object) -> str:
        """Return the title that the user gave, or else the origin of the data for a new figure."""
        return title if title is not None else "" if ax is not None else self.origin
