"""In which metrics CaTran is better or worse than its best baseline, and by how much: one sentence per group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catran_causalbench.report.aggregation import ResultGroup, estimate, is_catran
from catran_causalbench.report.metrics import METRICS, Estimate
from catran_causalbench.sweep.plan import ORACLE

_COMPARED = ("mean_wasserstein", "false_omission_rate", "challenge_score")
_VERDICTS = {"leads": "leads in", "loses": "loses in", "level": "cannot be told apart from its best baseline in"}


@dataclass(frozen=True)
class Comparison:
    """A method and its best baseline in one metric.

    Attributes
    ----------
    own, other
        Mean of the method and of the baseline over the replicates that both have.
    gain
        By how much the method is better, replicate by replicate; negative if it is worse.
    """

    metric: str
    method: str
    baseline: str
    own: float
    other: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """``leads``, ``loses``, or ``level`` if the interval of the gain contains zero or is unknown."""
        if not abs(self.gain.mean) > self.gain.half_width:  # NaN for a single result
            return "level"
        return "leads" if self.gain.mean > 0 else "loses"

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        return f"{metric.label} ({metric.number(self.own)} against {metric.number(self.other)} of {self.baseline})"


def compare(group: ResultGroup) -> list[Comparison]:
    """Compare the best CaTran (without CaTran, the best method) with its best baseline, metric by metric.

    The oracle is no baseline, and neither is a method that lacks replicates which others have: they may be the hard
    ones. For the same reason a CaTran with all replicates is preferred. Empty if there is no baseline.
    """
    methods = [name for name in group.summary if name != ORACLE]
    catrans = sorted(filter(is_catran, methods), key=lambda name: name in group.incomplete)
    method = next(iter([*catrans, *methods]), "")
    baselines = [name for name in methods if name != method and not is_catran(name)]
    if not baselines:
        return []
    comparisons = []
    for metric in (group.leading_metric, *["precision"] * group.has_truth, *_COMPARED):
        sign = METRICS[metric].sign
        table = group.values[metric].unstack("method")
        counts = table[baselines].count()
        means = table.loc[table[method].notna(), counts.index[counts == counts.max()]].mean().dropna()
        if len(means):
            baseline = str((sign * means).idxmax())
            pairs = table[[method, baseline]].dropna()
            gains = sign * (pairs[method] - pairs[baseline])
            if group.replicate == "seed" and gains.nunique() == 1:
                gains = gains[:1]  # seeds that change nothing give one result, however often
            own, other = pairs.mean()
            comparisons.append(Comparison(metric, method, baseline, own, other, estimate(gains)))
    return comparisons


def conclusion(group: ResultGroup) -> str:
    """Return one sentence on what the comparisons show."""
    comparisons = compare(group)
    if not comparisons:
        methods = [name for name in group.summary if name != ORACLE]
        return f"{group.title}: {', '.join(methods) or 'the oracle'} alone has scores, so there is nothing to compare."
    parts = []
    for verdict, phrase in _VERDICTS.items():
        found = [str(comparison) for comparison in comparisons if comparison.verdict == verdict]
        parts += [f"{phrase} {_listed(found)}"] if found else []
    single = all(np.isnan(comparison.gain.half_width) for comparison in comparisons)
    doubt = " (one result each, so all of this may be chance)" * single
    method = comparisons[0].method
    known = group.incomplete.get(method)
    lack = f"; it has {known}, and is compared on those" if known else ""
    return f"{group.title}: {method} {_listed(parts)}{doubt}{lack}."


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
