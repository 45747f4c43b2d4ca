"""Who wins where, by how much, and where CaTran loses: one sentence per family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catran_causalbench.report.measures import MEASURES, Estimate
from catran_causalbench.report.summary import ORACLE, Family, estimate, is_catran, replicate_values, summarise

_TRUE_FIGURES = ("captured", "precision", "mean_wasserstein", "false_omission_rate", "challenge_score")
_HELD_OUT_FIGURES = ("excess_wasserstein", "mean_wasserstein", "false_omission_rate", "challenge_score")


@dataclass(frozen=True)
class Comparison:
    """A method against its best rival in one measure.

    Attributes
    ----------
    measure, method, rival
        Names.
    own, other
        Their means.
    gain
        How much better the method is, estimated from replicates that both have; negative where it is worse.
    """

    measure: str
    method: str
    rival: str
    own: float
    other: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """``leads``, ``loses``, or ``level`` where the interval of the gain holds zero or is unknown."""
        if not abs(self.gain.mean) > self.gain.half_width:  # which is NaN for a single replicate
            return "level"
        return "leads" if self.gain.mean > 0 else "loses"


def compare(family: Family) -> list[Comparison]:
    """Compare the best CaTran (or else the best method) with the best of the others, measure by measure.

    The oracle is no rival, nor is a method that lacks replicates which others have: those may have been the hard ones.
    Empty with fewer than two methods.
    """
    summary = {name: row for name, row in summarise(family).items() if name != ORACLE}
    method = next((name for name in summary if is_catran(name)), next(iter(summary), ""))
    rivals = [name for name in summary if name != method and not is_catran(name)]
    values = replicate_values(family)
    comparisons = []
    for measure in _TRUE_FIGURES if "captured" in family.runs else _HELD_OUT_FIGURES:
        sign = 1 if MEASURES[measure].better == "higher" else -1
        scores = {name: summary[name][measure] for name in rivals if summary[name][measure].count}
        most = max((score.count for score in scores.values()), default=0)
        means = {name: score.mean for name, score in scores.items() if score.count == most}
        if means and summary[method][measure].count:
            rival = max(means, key=lambda name: sign * means[name])
            gain = estimate(sign * (values.loc[method][measure] - values.loc[rival][measure]))
            own = summary[method][measure].mean
            comparisons.append(Comparison(measure, method, rival, own, means[rival], gain))
    return comparisons


def headline(family: Family) -> str:
    """Say it in one sentence."""
    comparisons = compare(family)
    if not comparisons:
        methods = [name for name in summarise(family) if name != ORACLE]
        return f"{family.title}: {', '.join(methods) or 'the oracle'} alone has scores, so there is nothing to compare."
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
    doubt = f" (one {family.replicate}, so nobody knows how far chance decides)" * single
    return f"{family.title}: {comparisons[0].method} {_listed(parts)}{doubt}."


def _words(comparison: Comparison) -> str:
    measure = MEASURES[comparison.measure]
    own, other = measure.number(comparison.own), measure.number(comparison.other)
    return f"{measure.label} ({own} against {other} of {comparison.rival})"


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
