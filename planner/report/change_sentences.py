"""The sentences of what changed between two plans of one schedule, told from the comparison in either language."""

from planner.compare.plans import GROUPS, Cause, Changes, Figure, Move, OrderMove
from planner.report.language import ENGLISH, Wording

FIGURES: dict[Figure, str] = {
    "probability": "probability in the weakest month",
    "weakest-month": "weakest month",
    "next-order-by": "next order by",
    "runs-out": "demand outgrows what serves (median)",
    "mean-cost": "mean cost",
    "cost-of-waiting": "cost of waiting a month",
    "at-risk": "money at risk if the gates close",
    "gpus-ordered": "GPUs ordered",
}


def with_texts(found: Changes, say: Wording = ENGLISH) -> Changes:
    """The comparison with its own sentences, for whoever reads its JSON or shows it as a table."""
    return found.model_copy(
        update={
            "sentence": sentence(found, say),
            "moves": [each.model_copy(update={"text": move(each, say)}) for each in found.moves],
            "orders": [each.model_copy(update={"text": order_move(each, say)}) for each in found.orders],
            "causes": [each.model_copy(update={"text": cause(each, found.currency, say)}) for each in found.causes],
        }
    )


def sentence(found: Changes, say: Wording = ENGLISH) -> str:
    """What moved and mostly why."""
    if not found.moves and not found.orders:
        if not found.inputs:
            return say("Nothing changed since the run before.")
        return say("The answer is the same, though inputs changed since the run before.")
    parts = [move(each, say) for each in found.moves[:3]] or [order_move(each, say) for each in found.orders[:2]]
    told = say("; ").join(parts)
    told = told[:1].upper() + told[1:]
    known = [each for each in found.causes if round(each.probability or 0.0, 3) or round(each.mean_cost or 0.0)]
    biggest = sorted(known, key=lambda each: -abs(each.probability or 0.0))[:2]
    if not biggest:
        return say("{told}.", told=told)
    why = say("; ").join(cause(each, found.currency, say) for each in biggest)
    return say("{told}. Why: {why}.", told=told, why=why)


def move(found: Move, say: Wording) -> str:
    """One figure of the answer, before and after."""
    figure, before, after = say(FIGURES[found.figure]), found.before, found.after
    if not isinstance(before, float | int) or not isinstance(after, float | int):
        return say(
            "{figure}: {after} instead of {before}",
            figure=figure,
            after=after or say("none"),
            before=before or say("none"),
        )
    rose = after > before
    if found.unit == "share":
        text = say(
            "{figure} rose from {before} to {after}" if rose else "{figure} fell from {before} to {after}",
            figure=figure,
            before=f"{before:.1%}",
            after=f"{after:.1%}",
        )
        return text + _against_goal(before, after, found.goal, say)
    figures = {"figure": figure, "change": f"{abs(after - before):,.0f}", "after": f"{after:,.0f}"}
    if found.unit == "GPUs":
        return say(
            "{figure} rose by {change} to {after} GPUs" if rose else "{figure} fell by {change} to {after} GPUs",
            **figures,
        )
    return say(
        "{figure} rose by {change} to {after} {unit}" if rose else "{figure} fell by {change} to {after} {unit}",
        unit=found.unit,
        **figures,
    )


def _against_goal(before: float, after: float, goal: float | None, say: Wording) -> str:
    """Whether the probability fell below its goal, or came up to it."""
    if goal is not None and before >= goal > after:
        return say(", below the goal of {goal}", goal=f"{goal:.0%}")
    return say(", up to the goal of {goal}", goal=f"{goal:.0%}") if goal is not None and after >= goal > before else ""


def order_move(found: OrderMove, say: Wording) -> str:
    """GPUs from one source for one pool in one month, before and after."""
    return say(
        "{month}: {now} instead of {was} {sku} from {source} for {pool}",
        now=found.gpus_after,
        was=found.gpus_before,
        **found.model_dump(include={"month", "sku", "source", "pool"}),
    )


def cause(found: Cause, currency: str, say: Wording) -> str:
    """What one group of inputs did by itself, or why nobody can tell."""
    group = say(GROUPS[found.group])
    if found.probability is None or found.mean_cost is None or found.gpus_ordered is None:
        return say("{group} alone cannot be swapped ({reason})", group=group, reason=found.problem)
    return say(
        "{group}: {points} points, {cost} {currency}, {gpus} GPUs",
        group=group,
        points=_signed(100 * found.probability, 1),
        cost=_signed(found.mean_cost),
        currency=currency,
        gpus=_signed(found.gpus_ordered),
    )


def _signed(value: float, digits: int = 0) -> str:
    """With its sign; nothing is 0, not +0 or -0."""
    return f"{value:+,.{digits}f}" if round(value, digits) else "0"
