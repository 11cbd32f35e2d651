"""Which input moves the answer most: each alone, low and high, on the small sample."""

from dataclasses import dataclass

from planner.compare.rows import Row
from planner.compare.what_if import Changes, QuickAnswer
from planner.scenario.models import Scenario


@dataclass(frozen=True)
class Lever:
    """One input with a low and a high value of it."""

    input: str
    """A wording's text."""
    gate: str
    """The gate that it names, else nothing."""
    low: Changes
    high: Changes


def levers(scenario: Scenario) -> list[Lever]:
    """The inputs that a tornado varies one at a time."""
    plain = [
        ("demand, 20 % less or more", Changes(demand=0.8), Changes(demand=1.2)),
        ("growth, halved or half as much again", Changes(growth=0.5), Changes(growth=1.5)),
        ("purchase price, 20 % less or more", Changes(price=0.8), Changes(price=1.2)),
        ("rental price, 20 % less or more", Changes(rental_price=0.8), Changes(rental_price=1.2)),
        ("caps, halved or doubled", Changes(caps=0.5), Changes(caps=2.0)),
    ]
    found = [Lever(name, "", low, high) for name, low, high in plain]
    return found + [
        Lever(
            "{gate}, closed or open",
            gate.name,
            Changes(gates={gate.name: "closed"}),
            Changes(gates={gate.name: "open"}),
        )
        for gate in scenario.gates
    ]


def tornado_row(lever: Lever, base: QuickAnswer, low: QuickAnswer, high: QuickAnswer) -> Row:
    """Mean cost and weakest month when one input is low or high."""
    row: Row = {"input": lever.input, "gate": lever.gate}
    for side, answer in (("base", base), ("low", low), ("high", high)):
        row[f"cost_{side}"] = float(answer.cost.mean())
        row[f"probability_{side}"] = answer.probability(answer.weakest).value
    return row


def widest_first(rows: list[Row]) -> list[Row]:
    """Rows of a tornado by the width of what the cost moves over."""

    def reach(row: Row) -> float:
        costs = (row["cost_low"], row["cost_high"], row["cost_base"])
        return float(max(costs) - min(costs))

    return sorted(rows, key=reach, reverse=True)
