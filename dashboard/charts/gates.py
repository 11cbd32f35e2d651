"""The states of a gate over the months, as shares of the simulated futures."""

from collections.abc import Iterator

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, month_cells, values
from dashboard.charts.theme import LIGHT, STATE_LETTERS, STATES, Look
from planner.compare.rows import Row
from planner.record.models import Month, PlanRecord
from planner.report.language import ENGLISH, Wording, shortened

_READABLE = 0.09
"""A share below this leaves no room for its letter."""
_PASSES = ("conditional", "open")


def gate_shares(record: PlanRecord, gate: str, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Share of futures in each state of one gate, by month, from closed (bottom) to open (top)."""
    rows = [row for month in record.months for row in _rows(month, gate, look, say)]
    takeaway = _takeaway(record, gate, say)
    data = parts.only(rows, "month", "gate", "state", "share")
    return parts.figure(f"gate-{shortened(gate, 20)}", takeaway, _stack(rows, look, say), look, 150, data)


def stacked(shares: dict[str, float]) -> Iterator[tuple[str, float, float]]:
    """Each state with its share and the share below it, from closed (bottom) to open (top)."""
    floor = 0.0
    for state in STATES:
        share = shares.get(state, 0.0)
        yield state, share, floor
        floor += share


def state_colours(field: str, look: Look, say: Wording) -> alt.Color:
    """The colours of the states; the legend writes each state's letter before its name."""
    names = {state: say(state) for state in STATES}
    cases = [f"datum.value == '{names[s]}' ? '{STATE_LETTERS[s]}  {names[s]}'" for s in STATES]
    legend = alt.Legend(title=None, symbolType="square", labelExpr=" : ".join([*cases, "''"]))
    return parts.colours(field, list(names.values()), [look.states[state] for state in STATES], legend)


def _rows(month: Month, gate: str, look: Look, say: Wording) -> list[Row]:
    return [
        {
            "month": month.month,
            "gate": gate,
            "state": say(state),
            "share": share,
            "from": floor,
            "to": floor + share,
            "middle": floor + share / 2,
            "letter": STATE_LETTERS[state] if share >= _READABLE else "",
            "ink": look.state_ink[state],
        }
        for state, share, floor in stacked(month.gates.get(gate, {}))
    ]


def _stack(rows: list[Row], look: Look, say: Wording) -> alt.LayerChart:
    months = list(dict.fromkeys(str(row["month"]) for row in rows))
    base = alt.Chart(values(rows)).encode(x=month_cells(months, say))
    axis = alt.Axis(format=".0%", tickCount=3, title=say("share of futures"))
    bars = base.mark_bar().encode(
        **parts.upright("from:Q", "to:Q", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False)),
        color=state_colours("state:N", look, say),
        tooltip=parts.tips(
            ("month:N", say("month")), ("state:N", say("state")), ("share:Q", say("share of futures"), ".1%")
        ),
    )
    letters = base.mark_text(fontSize=11, fontWeight=600).encode(
        y=alt.Y("middle:Q"), text=alt.Text("letter:N"), color=parts.own_colour("ink:N")
    )
    return alt.layer(bars, letters).resolve_scale(color="independent")


def _takeaway(record: PlanRecord, gate: str, say: Wording) -> str:
    def passing(index: int) -> str:
        shares = record.months[index].gates.get(gate, {})
        return say.percent(sum(shares.get(state, 0.0) for state in _PASSES))

    middle = min(6, len(record.months) - 1)
    return say(
        "{gate}: goods can pass in {now} of futures at the start, {middle} in {month}, {end} in {last}.",
        gate=gate,
        now=passing(0),
        middle=passing(middle),
        month=say.month(record.months[middle].month),
        end=passing(-1),
        last=say.month(record.months[-1].month),
    )
