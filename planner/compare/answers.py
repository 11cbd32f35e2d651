"""What differs between two answers: in figures with intervals, in orders, in inputs.

Two quick answers are on the same futures, so their differences are taken future by future. Of two plans' records
only the intervals are known; they are put together as if no random numbers were shared, which makes them wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from executor.portable.elementary import hypot
from planner.compare.plans import differing, order_changes
from planner.compare.rows import Row
from planner.compare.what_if import QuickAnswer
from planner.optimise.intervals import paired
from planner.record.models import Interval, PlanRecord
from planner.record.orders_as_arrays import Placed
from planner.scenario.models import Scenario


@dataclass(frozen=True)
class FullAnswer:
    """A plan's record, seen as an answer that can be compared."""

    record: PlanRecord

    @property
    def scenario(self) -> Scenario:
        """What was planned."""
        return self.record.scenario

    @property
    def months(self) -> tuple[str, ...]:
        """YYYY-MM each."""
        return tuple(month.month for month in self.record.months)

    @property
    def orders(self) -> Sequence[Placed]:
        """What is ordered."""
        return self.record.orders

    @property
    def goal(self) -> float:
        """The required probability."""
        return self.record.answer.goal

    @property
    def weakest(self) -> int:
        """The required month with the lowest probability."""
        return self.months.index(self.record.answer.weakest_month)

    @property
    def futures(self) -> int:
        """How many it was judged on."""
        return self.record.scenario.run.replications

    def probability(self, month: int) -> Interval:
        """Probability that demand is met in a month."""
        return self.record.months[month].probability


Answered = QuickAnswer | FullAnswer
"""An answer that can be compared month by month."""


@dataclass(frozen=True)
class Comparison:
    """How a changed scenario's answer differs from the baseline's, on the same futures."""

    cost: Interval
    """Mean difference of the cost, changed minus baseline."""
    probability: Interval
    """Mean difference of meeting all demand in the baseline's weakest month."""
    gpus_ordered: int
    """Difference of the GPUs ordered."""


def compare(base: QuickAnswer, changed: QuickAnswer) -> Comparison:
    """Differences on the same futures, with their intervals."""
    at = base.weakest
    return Comparison(
        cost=paired(base.cost, changed.cost),
        probability=paired(base.met[:, at], changed.met[:, at]),
        gpus_ordered=sum(order.gpus for order in changed.orders) - sum(order.gpus for order in base.orders),
    )


def compare_in_full(base: FullAnswer, changed: FullAnswer) -> Comparison:
    """Differences between two records; their intervals hold however many random numbers the two plans share."""
    at = base.weakest
    was, now = base.record.kpis, changed.record.kpis
    return Comparison(
        cost=_difference(was.mean_cost, now.mean_cost),
        probability=_difference(base.probability(at), changed.probability(at)),
        gpus_ordered=now.gpus_ordered - was.gpus_ordered,
    )


def _difference(was: Interval, now: Interval) -> Interval:
    r"""A difference of two estimates with its interval from theirs, each at its own distance to the bound.

    d - \sqrt{(now - now_{low})^2 + (was_{high} - was)^2} .. d + \sqrt{(now_{high} - now)^2 + (was - was_{low})^2}

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10, for independent estimates. Plans on the same
    futures lean the same way, so that the true interval is narrower.

    >>> half = Interval(value=0.5, low=0.4, high=0.6)
    >>> found = _difference(half, Interval(value=0.8, low=0.7, high=0.9))
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.3, 0.159, 0.441)
    """
    d = now.value - was.value
    down = hypot(now.value - now.low, was.high - was.value)
    up = hypot(now.high - now.value, was.value - was.low)
    return Interval(value=d, low=d - down, high=d + up, level=now.level)


def order_differences(base: Answered, changed: Answered) -> list[Row]:
    """Orders that were added, dropped or resized."""
    return [
        {
            "pool": pool,
            "source": source,
            "month": month,
            "before": was,
            "after": now,
            "change": "added" if not was else "dropped" if not now else "resized",
        }
        for (month, source, pool), was, now in order_changes(base.orders, changed.orders)
    ]


def input_differences(before: Scenario, after: Scenario) -> list[Row]:
    """Every field that differs, with its path and both values."""
    bodies = (scenario.model_dump(mode="json", exclude={"run"}) for scenario in (before, after))
    return [{"input": path, "before": was, "after": now} for path, was, now in differing("", *bodies)]
