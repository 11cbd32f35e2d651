"""Service level on the accuracy pages: the probabilities that plans promised, against fresh futures."""

from dashboard.accuracy.figures import Figures
from dashboard.accuracy.markdown import table


def promises(found: Figures) -> str:
    """Every shipped scenario planned, then judged on futures that had no part in it."""
    head = (
        *("scenario", "way", "judged on", "weakest month", "promised", "seen", "within", "months within"),
        *("largest gap, points", "cost promised over seen"),
    )
    return f"{_judged(found)}\n\n{table(head, map(_plan, found['plans']))}"


def headline(found: Figures) -> str:
    """How many plans kept the promise of their weakest month."""
    plans = found["plans"]
    gap = max(plan["largest_gap"] for plan in plans)
    return (
        f"Weakest month within what was seen in {sum(plan['within'] for plan in plans)} of {len(plans)} plans; largest"
        f" gap of any month {100 * gap:.2f} points"
    )


def _judged(found: Figures) -> str:
    return (
        f"Every shipped scenario as it is, planned and then carried out on {found['futures']:,} fresh futures under a"
        " root of their own (`python -m benchmarks.promise --write docs/accuracy.md`). Within: the promised"
        " probability lies in the 90 % interval seen. One that is exactly right lies within for nine months in ten;"
        " one that rests itself on as many futures as judge it, for three in four, since both err."
    )


def _plan(plan: Figures) -> tuple[object, ...]:
    return (
        plan["scenario"],
        plan["way"],
        f"{plan['judged_on']:,}",
        plan["month"],
        _share(plan["promised"]),
        f"{_share(plan['seen'])} ({_share(plan['low'])}-{_share(plan['high'])})",
        "yes" if plan["within"] else "no",
        f"{plan['months_within']} of {plan['months']}",
        f"{100 * plan['largest_gap']:.2f}",
        f"{plan['cost_ratio']:.3f}",
    )


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"
