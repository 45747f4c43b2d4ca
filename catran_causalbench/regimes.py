"""What a training regime lets a method see."""

from __future__ import annotations

from typing import Any

from catran_causalbench.dataset import CONTROL_LABEL


def controls_only(expression_matrix: Any, interventions: list[str]) -> tuple[Any, list[str]]:
    """Keep the control cells: all that the observational regime lets a method see.

    Parameters
    ----------
    expression_matrix
        cells × genes, dense or scipy sparse.
    interventions
        One label per cell.

    Returns
    -------
    expression_matrix, interventions
        Of the control cells; both as given where there is nothing to drop, or where the input is one that
        :func:`~catran_causalbench.dataset.validate_dataset` will refuse.
    """
    controls = [cell for cell, label in enumerate(interventions) if label == CONTROL_LABEL]
    if len(controls) in (0, len(interventions)) or len(interventions) != expression_matrix.shape[0]:
        return expression_matrix, interventions
    return expression_matrix[controls], [CONTROL_LABEL] * len(controls)
