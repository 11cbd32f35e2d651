"""The states of a gate over the months, as shares of the simulated futures."""

import altair as alt

from dashboard.charts.figure import Figure, finished, month_cells, values
from dashboard.charts.theme import LIGHT, STATE_LETTERS, STATES, Look
from dashboard.wording import ENGLISH, Wording, shortened
from planner.record.models import PlanRecord

_READABLE = 0.09
"""A share below this leaves no room for its letter."""
_PASSES = ("conditional", "open")


def gate_shares(record: PlanRecord, gate: str, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Share of futures in each state of one gate, by month, from closed (bottom) to open (top)."""
    rows = []
    for month in record.months:
        floor = 0.0
        shares = month.gates.get(gate, {})
        for state in STATES:
            share = shares.get(state, 0.0)
            rows.append(
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
            )
            floor += share
    takeaway = _takeaway(record, gate, say)
    chart = finished(_stack(rows, look, say), look, takeaway, 150)
    data = [{key: row[key] for key in ("month", "gate", "state", "share")} for row in rows]
    return Figure(f"gate-{shortened(gate, 20)}", takeaway, chart, data)


def state_legend(names: dict[str, str]) -> str:
    """Vega expression that writes each state's letter before its name in a legend."""
    cases = [
        f"datum.value == '{names[state]}' ? '{STATE_LETTERS[state]}  {names[state]}'" for state in STATES
    ]
    return " : ".join([*cases, "''"])


def _stack(rows: list[dict[str, object]], look: Look, say: Wording) -> alt.LayerChart:
    months = list(dict.fromkeys(str(row["month"]) for row in rows))
    base = alt.Chart(values(rows)).encode(x=month_cells(months, say))
    names = {state: say(state) for state in STATES}
    legend = alt.Legend(
        title=None,
        symbolType="square",
        labelExpr=" : ".join(
            f"datum.value == '{names[s]}' ? '{STATE_LETTERS[s]}  {names[s]}'" for s in STATES
        )
        + " : ''",
    )
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(names.values()), range=[look.states[state] for state in STATES]),
        legend=legend,
    )
    share = alt.Axis(format=".0%", tickCount=3, title=say("share of futures"))
    bars = base.mark_bar().encode(
        y=alt.Y("from:Q", axis=share, scale=alt.Scale(domain=[0, 1], nice=False)),
        y2=alt.Y2("to:Q"),
        color=colour,
        tooltip=[
            alt.Tooltip("month:N", title=say("month")),
            alt.Tooltip("state:N", title=say("state")),
            alt.Tooltip("share:Q", title=say("share of futures"), format=".1%"),
        ],
    )
    letters = base.mark_text(fontSize=11, fontWeight=600).encode(
        y=alt.Y("middle:Q"), text=alt.Text("letter:N"), color=alt.Color("ink:N", scale=None)
    )
    return alt.layer(bars, letters).resolve_scale(color="independent")


def _takeaway(record: PlanRecord, gate: str, say: Wording) -> str:
    def passing(index: int) -> float:
        return sum(record.months[index].gates.get(gate, {}).get(state, 0.0) for state in _PASSES)

    middle = min(6, len(record.months) - 1)
    return say(
        "{gate}: goods can pass in {now} of futures at the start, {middle} in {month}, {end} in {last}.",
        gate=gate,
        now=say.percent(passing(0)),
        middle=say.percent(passing(middle)),
        month=say.month(record.months[middle].month),
        end=say.percent(passing(-1)),
        last=say.month(record.months[-1].month),
    )
