"""Who wins where, by how much, and where CaTran loses: one sentence per group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catran_causalbench.report.aggregation import ORACLE, ResultGroup, estimate, is_catran, replicate_values, summarise
from catran_causalbench.report.metrics import METRICS, Estimate
from catran_causalbench.report.tables import incomplete

_TRUE_FIGURES = ("captured", "precision", "mean_wasserstein", "false_omission_rate", "challenge_score")
_HELD_OUT_FIGURES = ("excess_wasserstein", "mean_wasserstein", "false_omission_rate", "challenge_score")


@dataclass(frozen=True)
class Comparison:
    """A method against its best rival in one metric.

    Attributes
    ----------
    metric, method, rival
        Names.
    own, other
        Their means over the replicates that both have.
    gain
        How much better the method is there, replicate by replicate; negative where it is worse.
    """

    metric: str
    method: str
    rival: str
    own: float
    other: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """``leads``, ``loses``, or ``level`` where the interval of the gain holds zero or is unknown."""
        if not abs(self.gain.mean) > self.gain.half_width:  # which is NaN for a single result
            return "level"
        return "leads" if self.gain.mean > 0 else "loses"


def compare(group: ResultGroup) -> list[Comparison]:
    """Compare the best CaTran (or else the best method) with the best of the others, metric by metric.

    The oracle is no rival, nor is a method that lacks replicates which others have: those may have been the hard ones.
    Nor does a CaTran stand for it that lacks some, where another has them all. Empty with fewer than two methods.
    """
    methods = [name for name in summarise(group) if name != ORACLE]
    lacking = incomplete(group)
    catrans = sorted(filter(is_catran, methods), key=lambda name: name in lacking)
    method = next(iter([*catrans, *methods]), "")
    rivals = [name for name in methods if name != method and not is_catran(name)]
    if not rivals:
        return []
    values = replicate_values(group)
    comparisons = []
    for metric in _TRUE_FIGURES if "captured" in group.runs else _HELD_OUT_FIGURES:
        sign = 1 if METRICS[metric].better == "higher" else -1
        table = values[metric].unstack("method")
        counts = table[rivals].count()
        means = table.loc[table[method].notna(), counts.index[counts == counts.max()]].mean().dropna()
        if len(means):
            rival = str((sign * means).idxmax())
            pairs = table[[method, rival]].dropna()
            gains = sign * (pairs[method] - pairs[rival])
            if group.replicate == "seed" and gains.nunique() == 1:
                gains = gains[:1]  # seeds that change nothing give one result, however often
            own, other = pairs.mean()
            comparisons.append(Comparison(metric, method, rival, own, other, estimate(gains)))
    return comparisons


def headline(group: ResultGroup) -> str:
    """Say it in one sentence."""
    comparisons = compare(group)
    if not comparisons:
        methods = [name for name in summarise(group) if name != ORACLE]
        return f"{group.title}: {', '.join(methods) or 'the oracle'} alone has scores, so there is nothing to compare."
    parts = []
    for verdict, phrase in (
        ("leads", "leads in"),
        ("loses", "loses in"),
        ("level", "cannot be told apart from its best rival in"),
    ):
        found = [_words(comparison) for comparison in comparisons if comparison.verdict == verdict]
        if found:
            parts.append(f"{phrase} {_listed(found)}")
    single = all(np.isnan(comparison.gain.half_width) for comparison in comparisons)
    doubt = " (one result each, so nobody knows how far chance decides)" * single
    method, lacking = comparisons[0].method, incomplete(group)
    lack = f"; it has {lacking[method]}, and is compared on those" if method in lacking else ""
    return f"{group.title}: {method} {_listed(parts)}{doubt}{lack}."


def _words(comparison: Comparison) -> str:
    metric = METRICS[comparison.metric]
    own, other = metric.number(comparison.own), metric.number(comparison.other)
    return f"{metric.label} ({own} against {other} of {comparison.rival})"


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
