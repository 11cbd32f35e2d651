"""The words of a plan: a verb first, counts in GPUs, dates for a calendar, a probability with its interval."""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from planner.clock import month_label, month_starts
from planner.demand.traffic import Traffic
from planner.futures.limits import whole_lot
from planner.futures.sample import Prospects
from planner.optimise.congestion import Settled
from planner.optimise.policies.choice import Choice, Way
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.infeasible_months import OutOfReach, Relaxation, relaxations
from planner.optimise.value.order_value import OrderReason, Waiting
from planner.record.models import GateOdds, Interval, LaterOrder, Month, Order
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase

MEANING = {
    "fixed calendar": "orders settled now, the same whatever happens",
    "if-then calendar": "orders settled now, on conditions that the gates must be seen to meet",
    "monthly re-planning": "orders of each month decided when it comes, from need, pipeline and gates as then seen",
    "base-stock": "orders up to a level each month, from the source cheapest at the start",
    "nothing until cleared": "orders from a gated source only in months in which its gates are seen passing",
    "everything now": "orders in the first month what the largest need takes, cheapest source first",
    "nine-month MRP": "orders what the mean need nine months on lacks, as if nothing could go wrong",
    "domestic only": "the same optimiser without foreign GPUs",
    "rent only": "the same optimiser with rental alone",
}
MOST_NAMED = 3
"""Orders named in the sentence; the calendar has the rest."""
ALWAYS = 0.995
"""A gate that passes in this share of futures is not worth a word."""


def sentence(
    scenario: Scenario,
    choice: Choice,
    months: Sequence[Month],
    orders: Sequence[Order],
    later: Sequence[LaterOrder],
    weakest: Month,
    feasible: bool,
) -> str:
    """What to order and by when, and how sure that makes which month."""
    what = _what(scenario, choice.chosen, orders, later, choice.way)
    last = months[-1].month
    odds = percent(weakest.probability)
    first = next(month.month for month in months if month.required)
    if feasible:
        return (
            f"{what} With this plan demand is met in each month from {first} to {last} with a probability of at "
            f"least {odds}; the weakest month is {weakest.month}."
        )
    short = [
        month for month in months if month.required and month.probability.value < scenario.goal.probability
    ]
    return (
        f"No plan found meets demand with {100 * scenario.goal.probability:.0f} % in {_named_months(short)}: "
        f"the nearest reaches {odds} in {weakest.month}. {what}"
    )


def _named_months(months: Sequence[Month]) -> str:
    """Few months by name, many by number and span."""
    if len(months) <= MOST_NAMED:
        return _some([month.month for month in months])
    return f"{len(months)} months from {months[0].month} to {months[-1].month}"


def waiting(scenario: Scenario, found: Waiting) -> str:
    """What it costs to order nothing in the first month."""
    starts = month_starts(scenario.start, scenario.horizon_months)
    after = starts[min(1, len(starts) - 1)]
    cost = found.cost
    if cost.low <= 0.0 <= cost.high and abs(found.probability.mean) < 0.005:
        return f"Ordering nothing before {after} costs nothing that these futures can tell from zero."
    verb, low, high = ("costs", cost.low, cost.high) if cost.mean >= 0 else ("saves", -cost.high, -cost.low)
    words = (
        f"Ordering nothing before {after} {verb} {millions(abs(cost.mean))} {scenario.currency} on average "
        f"({signed(low)} to {signed(high)})"
    )
    if found.probability.mean < -0.005:
        label = month_label(starts[found.hurt_month])
        lost = round(-100 * found.probability.mean)
        words += f" and takes {lost} point{'s' if lost != 1 else ''} off the probability of {label}"
    return words + "."


def rests_on(scenario: Scenario, fresh: Prospects, odds: Sequence[GateOdds]) -> list[str]:
    """The facts that would change the answer most: gates first, then demand and serving."""
    facts = [_gate_fact(gate) for gate in odds]
    if len(odds) > 1:
        facts.append(_both(odds))
    growth = np.quantile(
        fresh.futures.need[:, :, -1].sum(axis=1) / fresh.futures.need[:, :, 0].sum(axis=1), (0.1, 0.9)
    )
    facts.append(
        f"Demand at the horizon is {growth[0]:.1f} to {growth[1]:.1f} times today's in 8 of 10 futures."
    )
    return facts


def _gate_fact(gate: GateOdds) -> str:
    later = list(gate.passes_within_months.items())
    month, share = later[min(6, len(later) - 1)]
    lift = f"{percent(gate.arrives)}; with this gate always open {percent(gate.arrives_if_open)}"
    start = f"{gate.gate} is {gate.state}"
    if gate.state in ("open", "conditional"):
        start += f" and closes within 90 days in {_in_ten(gate.closes_within_90_days)} futures"
    elif share < ALWAYS:
        start += f" and has let goods pass by {month} in {_in_ten(share)} futures"
    return f"{start}: an order of today serves within the horizon in {lift} of futures."


def _both(odds: Sequence[GateOdds]) -> str:
    most = max(odds, key=lambda gate: gate.arrives_if_open.value)
    if most.arrives_if_open.value - most.arrives.value < 0.01:
        return "No single gate decides: opening any one alone hardly changes the odds, since the others stay shut."
    return f"The gate that decides most is {most.gate}."


def why(order: Order, reason: OrderReason, scenario: Scenario, source: Purchase, accepted: float) -> str:
    """Why an order is in the plan, and what must happen before anyone accepts it."""
    held = ""
    if source.gates and accepted < ALWAYS:
        let = "let" if len(source.gates) > 1 else "lets"
        held = (
            f" It is accepted only when {_some(source.gates)} {let} it pass, in {_in_ten(accepted)} futures."
        )
    return _protects(order, reason, scenario) + held


def _protects(order: Order, reason: OrderReason, scenario: Scenario) -> str:
    cost = reason.cost_without
    saves = f"without it the plan costs {signed(cost.mean)} {scenario.currency} more" if cost.mean > 0 else ""
    if order.protects is None:
        words = saves or "it rounds the plan to whole lots"
        return words[:1].upper() + words[1:] + "."
    words = (
        f"Protects {order.protects}: without it demand is met there with {percent(order.probability_without)} "
        f"instead of {100 * reason.probability_with:.0f} %"
    )
    if saves:
        words += f", and {saves}"
    return words + "."


def reasons(
    scenario: Scenario,
    chosen: Calibration,
    fresh: Prospects,
    orders: Sequence[Order],
    budget: float | None,
    settled: Settled | None,
) -> list[str]:
    """Why this plan: months out of reach and what would do, the first orders; ``budget``: the one that would do."""
    unreachable = [out for out in chosen.out_of_reach if out.month + 1 >= scenario.goal.from_month]
    worst_first = sorted(unreachable, key=lambda out: out.best)
    lines = [_unreachable(scenario, out) for out in worst_first[:MOST_NAMED]]
    if len(unreachable) > MOST_NAMED:
        lines.append(f"{len(unreachable) - MOST_NAMED} more months are out of reach, less far.")
    if unreachable:
        worst = worst_first[0]
        lines.append(_would_do(scenario, worst.month, relaxations(fresh.futures, worst.month, chosen.goal)))
    if budget is not None:
        lines.append(
            f"A budget of {millions(budget)} {scenario.currency} would do, by the plan that has no limit."
        )
    if settled is not None:
        lines.append(_crowded(scenario, settled))
    lines += [
        f"{source.name} can sell nothing: at most {_most(source)} GPUs may be ordered, fewer than the "
        f"{whole_lot(scenario, source)} of the smallest order (whole lots, whole replicas of every pool it serves)."
        for source in scenario.purchases
        if _most(source) < whole_lot(scenario, source)
    ]
    return lines + [
        f"{order.gpus} {order.sku} from {order.source}, {order.month}: {order.why}"
        for order in orders[:MOST_NAMED]
    ]


def _most(source: Purchase) -> float:
    """The most GPUs that one month may order."""
    caps = [cap for cap in (source.max_gpus_per_month, source.max_gpus_total) if cap is not None]
    return min(caps, default=float("inf"))


def _crowded(scenario: Scenario, settled: Settled) -> str:
    """Whether the plan stands at its own volume, and what its own orders cost it."""
    dearer = settled.promise.confirmed.outcome.expected_cost - settled.cost_alone
    words = f"Own orders lengthen the lines they wait in: that costs {signed(dearer)} {scenario.currency}"
    if settled.settled:
        return f"{words}, and planned again at its own volume the fixed calendar stands still."
    moves = ", ".join(f"{100 * share:.0f} %" for share in settled.moves)
    return (
        f"{words}. Planned again and again at its own volume the fixed calendar did not settle (moved: {moves}); "
        "the one that does best at its own volume is shown."
    )


def _unreachable(scenario: Scenario, out: OutOfReach) -> str:
    """A month whose goal nothing within the limits can meet: how near one comes, and what is missing."""
    low, high = out.best_interval
    missing = [
        f"{value:.1f} requests/s for {pool.name}"
        for pool, value in zip(scenario.pools, out.missing, strict=True)
        if value > 0
    ]
    label = month_label(month_starts(scenario.start, scenario.horizon_months)[out.month])
    return (
        f"{label} is out of reach: with everything ordered, reserved and rented that the limits allow, demand is met "
        f"with {100 * out.best:.0f} % ({100 * low:.0f}-{100 * high:.0f})"
        + (f"; still missing at the goal: {_some(missing)}." if missing else ".")
    )


def _would_do(scenario: Scenario, month: int, found: Sequence[Relaxation]) -> str:
    """The least that would bring the worst month within reach, one limit at a time."""
    label = month_label(month_starts(scenario.start, scenario.horizon_months)[month])
    if not found:
        return f"No single limit, however far relaxed, brings {label} within reach: it takes several, or a lower goal."
    ways = [
        f"no notice for {_some(way.sources)}"
        if way.kind == "notice"
        else f"{way.factor:.3g} times the {way.kind} of {_some(way.sources)}"
        for way in found
    ]
    return f"For {label} any one of these would do: {'; '.join(ways)}."


def sources(scenario: Scenario, streams: Sequence[Traffic]) -> list[dict[str, str]]:
    """Where the scenario's figures come from, for the report's list of assumptions."""
    rows = [{"what": place, "source": said} for place, said in scenario.evidence.items()]
    for stream in streams:
        origin = stream.trace.origin
        rows.append(
            {
                "what": f"traffic of {stream.pool}: {stream.trace.name}",
                "source": f"{origin.title}; {origin.source}",
                "date": origin.date,
                "evidence": origin.evidence,
            }
        )
        rows.append({"what": f"busy hour of {stream.pool}", "source": stream.busy_hour.label})
        rows.append({"what": f"prefix reuse of {stream.pool}", "source": stream.prefix_reuse.label})
    return rows


def percent(interval: Interval) -> str:
    """A probability with its interval: 93 % (91-94)."""
    return f"{100 * interval.value:.0f} % ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


def millions(value: float) -> str:
    """Money to two or three digits: 1.4 M, 38 M, 950 k."""
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.0f} M"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.1f} M"
    return f"{value / 1e3:,.0f} k"


def signed(value: float) -> str:
    """Money with its sign where it is below zero."""
    return f"-{millions(-value)}" if value < 0 else millions(value)


def _what(
    scenario: Scenario,
    chosen: Calibration,
    orders: Sequence[Order],
    later: Sequence[LaterOrder],
    way: Way,
) -> str:
    """The orders and the rental, in words."""
    parts = _ordered(orders)
    rent = _rented(scenario, chosen)
    then = _then(later, way)
    if parts and rent:
        return f"Order {parts}, and reserve {rent}.{then}"
    if parts:
        return f"Order {parts}.{then}"
    if rent:
        return f"Order nothing {'now' if then else ''}; reserve {rent}.{then}".replace(" ;", ";")
    if then:
        return f"Order nothing now.{then}"
    return "Order nothing and reserve nothing: what is in service will do."


def _then(later: Sequence[LaterOrder], way: Way) -> str:
    """What is decided later."""
    if way == "fixed calendar":
        return ""
    more = round(sum(order.mean_gpus for order in later))
    if way == "if-then calendar":
        return (
            f" Further orders look at the gates first: about {more} GPUs more, see the calendar."
            if later
            else ""
        )
    if not later:
        return " Plan again each month."
    return (
        f" Plan again each month: about {more} GPUs more by {later[-1].month}, as need and gates then show."
    )


def _ordered(orders: Sequence[Order]) -> str:
    """The next orders by date, several lines of one source and day as one."""
    grouped: dict[tuple[dt.date, str, str], int] = {}
    for order in orders:
        key = (order.order_on, order.sku, order.source)
        grouped[key] = grouped.get(key, 0) + order.gpus
    if not grouped:
        return ""
    named = [
        f"{gpus} {sku} from {source} by {day.day} {day:%B %Y}"
        for (day, sku, source), gpus in sorted(grouped.items())[:MOST_NAMED]
    ]
    more = sum(gpus for _, gpus in sorted(grouped.items())[MOST_NAMED:])
    return _some(named) + (f" (and {more} more later, see the calendar)" if more else "")


def _rented(scenario: Scenario, chosen: Calibration) -> str:
    starts = month_starts(scenario.start, scenario.horizon_months)
    words = []
    for r, source in enumerate(scenario.rentals):
        gpus = chosen.plan.reserved[:, r].sum(axis=0)
        used = np.flatnonzero(gpus > 0)
        if len(used):
            first, last = starts[used[0]], starts[used[-1]]
            span = f"{first:%B %Y} to {last:%B %Y}" if first != last else f"{first:%B %Y}"
            words.append(f"up to {int(gpus.max())} {source.sku} from {source.name}, {span}")
    return _some(words)


def _some(words: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    if len(words) <= 1:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _in_ten(share: float) -> str:
    """6 in 10; below one in ten, in a hundred."""
    if 0.095 <= share <= 0.905:
        return f"{round(10 * share)} in 10"
    return f"{round(100 * share)} in 100"
