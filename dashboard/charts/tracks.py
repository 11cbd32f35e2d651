"""The way of the goods: gates past and future, the pipeline by place, and one future as a Gantt chart."""

import datetime as dt
from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, finished, moment, month_after, month_cells, values
from dashboard.charts.gates import state_legend
from dashboard.charts.theme import LIGHT, STATE_LETTERS, STATES, Look
from dashboard.wording import ENGLISH, Wording, shortened
from planner.compare.rows import Row
from planner.compare.single_future import PLACES, Story
from planner.record.models import PlanRecord
from planner.reference.gate_history import GateEvent, events, states
from planner.scenario.gates import Gate

_YEARS_BEFORE = 2
_READABLE_DAYS = 45
"""A past state shorter than this leaves no room for its letter."""


def gate_events(record: PlanRecord, gate: Gate) -> tuple[GateEvent, ...]:
    """Events that touched the gate's product and were public on the plan's day, the newest last."""
    if gate.product is None:
        return ()
    jurisdiction = {"us": "US", "cn": "CN", "vendor": "vendor"}[gate.authority]
    known = events(gate.product, until=gate.as_of or record.scenario.start)
    return tuple(event for event in known if event.jurisdiction == jurisdiction)


def gate_history(record: PlanRecord, gate: Gate, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """One gate on one axis: the states it was in, today, and the share of futures in each state after."""
    today = record.scenario.start
    rows = [*_past(record, gate, today), *_future(record, gate)]
    end = max((dt.date.fromisoformat(str(row["end"])[:10]) for row in rows), default=today)
    marks: list[Row] = [
        {"at": moment(event.date), "number": str(number), "words": event.event, "source": event.source}
        for number, event in enumerate(gate_events(record, gate), start=1)
        if event.date >= _first_day(today)
    ]
    takeaway = _gate_takeaway(record, gate, say)
    for row in rows:
        row["state_shown"] = say(str(row["state"]))
    span = alt.Scale(domain=[moment(_first_day(today)), moment(end)])
    x = alt.X(
        "start:T", scale=span, axis=alt.Axis(title=None, format="%b %y", labelOverlap="parity", tickCount=9)
    )
    base = alt.Chart(values(rows))
    share = alt.Axis(format=".0%", tickCount=3, title=say("share of futures"), orient="right", grid=False)
    shown = [say(state) for state in STATES]
    colour = alt.Color(
        "state_shown:N",
        scale=alt.Scale(domain=shown, range=[look.states[state] for state in STATES]),
        legend=alt.Legend(
            title=None, symbolType="square", labelExpr=state_legend({state: say(state) for state in STATES})
        ),
    )
    layers = [
        base.mark_rect().encode(
            x=x,
            x2=alt.X2("end:T"),
            y=alt.Y("from:Q", axis=share, scale=alt.Scale(domain=[0, 1.12], nice=False)),
            y2=alt.Y2("to:Q"),
            color=colour,
            tooltip=[
                alt.Tooltip("state_shown:N", title=say("state")),
                alt.Tooltip("start:T", title=say("from"), format="%Y-%m-%d"),
                alt.Tooltip("share:Q", title=say("share of futures"), format=".0%"),
                alt.Tooltip("source:N", title=say("source")),
            ],
        ),
        base.transform_filter("datum.letter != ''")
        .mark_text(fontWeight=600, fontSize=11)
        .encode(
            x=alt.X("middle:T"),
            y=alt.Y("level:Q"),
            text=alt.Text("letter:N"),
            color=alt.Color("ink:N", scale=None),
        ),
        alt.Chart(values([{"at": moment(today)}]))
        .mark_rule(color=look.ink, strokeWidth=2)
        .encode(x=alt.X("at:T")),
        alt.Chart(values([{"at": moment(today), "words": say.day(today)}]))
        .mark_text(align="left", baseline="top", dx=5, dy=-13, fontSize=11, color=look.ink)
        .encode(x=alt.X("at:T"), y=alt.value(0), text=alt.Text("words:N")),
        *_event_marks(marks, look, say),
    ]
    for row in rows:
        row["ink"] = look.state_ink[str(row["state"])]
    chart = finished(alt.layer(*layers).resolve_scale(color="independent"), look, takeaway, 130)
    data = [{key: row[key] for key in ("gate", "state", "start", "end", "share", "source")} for row in rows]
    return Figure(f"gate-history-{shortened(gate.name, 20)}", takeaway, chart, data)


def _event_marks(marks: list[Row], look: Look, say: Wording) -> list[alt.Chart]:
    if not marks:  # an empty layer would be a picture without a text alternative
        return []
    base = alt.Chart(values(marks)).encode(
        x=alt.X("at:T"),
        tooltip=[
            alt.Tooltip("at:T", title=say("date"), format="%Y-%m-%d"),
            alt.Tooltip("words:N", title=say("event")),
            alt.Tooltip("source:N", title=say("source")),
        ],
    )
    return [
        base.mark_tick(orient="vertical", color=look.ink, thickness=1.5, height=8).encode(y=alt.datum(1.03)),
        base.mark_text(color=look.ink, fontSize=10, baseline="bottom").encode(
            y=alt.datum(1.05), text=alt.Text("number:N")
        ),
    ]


def _first_day(today: dt.date) -> dt.date:
    return today.replace(year=today.year - _YEARS_BEFORE, day=1)


def _past(record: PlanRecord, gate: Gate, today: dt.date) -> list[Row]:
    """The states on record, cut at the plan's day, each over the whole height."""
    if gate.product is None or gate.always is not None:
        return []
    known = [
        state
        for state in states(gate.product, gate.authority, gate.as_of or today, gate.reading)
        if state.state in STATES
    ]
    ends = [state.from_date for state in known[1:]] + [today]
    rows: list[Row] = []
    for state, end in zip(known, ends, strict=True):
        start = max(state.from_date, _first_day(today))
        if start >= end:
            continue
        wide = (end - start).days >= _READABLE_DAYS
        rows.append(
            _cell(gate.name, state.state, start, end, 0.0, 1.0, state.source)
            | {"letter": STATE_LETTERS[state.state] if wide else ""}
        )
    return rows


def _future(record: PlanRecord, gate: Gate) -> list[Row]:
    """Shares of the futures, month by month, stacked from closed to open."""
    rows: list[Row] = []
    days = [month.start for month in record.months]
    ends = [*days[1:], month_after(days[-1])]
    for month, end in zip(record.months, ends, strict=True):
        floor = 0.0
        for state in STATES:
            share = month.gates.get(gate.name, {}).get(state, 0.0)
            if share > 0:
                rows.append(
                    _cell(gate.name, state, month.start, end, floor, floor + share, "")
                    | {"letter": STATE_LETTERS[state] if share > 0.16 else ""}
                )
            floor += share
    return rows


def _cell(gate: str, state: str, start: dt.date, end: dt.date, low: float, high: float, source: str) -> Row:
    middle = start + (end - start) / 2
    return {
        "gate": gate,
        "state": state,
        "start": moment(start),
        "end": moment(end),
        "middle": moment(middle),
        "from": low,
        "to": high,
        "level": (low + high) / 2,
        "share": high - low,
        "source": source,
    }


def _gate_takeaway(record: PlanRecord, gate: Gate, say: Wording) -> str:
    odds = next((item for item in record.gate_odds if item.gate == gate.name), None)
    today = record.months[0].gates.get(gate.name, {})
    state = max(today, key=lambda name: today[name]) if today else "closed"
    if odds is None:
        return say(
            "{gate} is {state} on {day}.",
            gate=gate.name,
            state=say(state),
            day=say.day(record.scenario.start),
        )
    return say(
        "{gate} is {state}: an order of the first day serves within the horizon in {odds} of futures, with this gate "
        "always open in {opened}.",
        gate=gate.name,
        state=say(state),
        odds=say.odds(odds.arrives),
        opened=say.odds(odds.arrives_if_open),
    )


def pipeline_area(rows: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean GPUs of all orders by place, month by month."""
    colours = (look.quiet, look.spot, look.reserved, look.in_service, look.unmet)
    names = [say(place) for place in PLACES]
    drawn = [
        {**row, "place_shown": say(str(row["place"])), "rank": PLACES.index(str(row["place"]))}
        for row in rows
    ]
    months = list(dict.fromkeys(str(row["month"]) for row in rows))
    ended = sum(row["gpus"] for row in rows if row["month"] == months[-1] and row["place"] == PLACES[-1])
    serving = sum(row["gpus"] for row in rows if row["month"] == months[-1] and row["place"] == "serving")
    takeaway = say(
        "By {month} {serving} of the GPUs ordered serve on average; {ended} were ended by a gate.",
        month=say.month(months[-1]),
        serving=say.count(serving),
        ended=say.count(ended),
    )
    chart = (
        alt.Chart(values(drawn))
        .mark_bar()
        .encode(
            x=month_cells(months, say),
            y=alt.Y("gpus:Q", axis=alt.Axis(title=say("GPUs, mean over futures"), tickCount=5)),
            color=alt.Color(
                "place_shown:N",
                scale=alt.Scale(domain=names, range=list(colours)),
                legend=alt.Legend(title=None, columns=3, labelLimit=220),
                sort=names,
            ),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("month:N", title=say("month")),
                alt.Tooltip("place_shown:N", title=say("place")),
                alt.Tooltip("gpus:Q", title="GPUs", format=",.1f"),
            ],
        )
    )
    return Figure("pipeline", takeaway, finished(chart, look, takeaway, 240), list(rows))


def story_gantt(told: Story, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """One future: a line for each gate and each order; waiting pale, work strong."""
    rows = [_gate_stretch(stretch, look, say) for stretch in told.gates]
    rows += [_goods_stretch(stretch, look, say) for stretch in told.visits]
    served = sum(1 for item in told.happenings if item.what == "{order}: serves.")
    ended = sum(1 for item in told.happenings if item.rank == 0)
    takeaway = say(
        "Future {n}: {served} orders serve, {ended} are ended by a gate, the others are still on their way.",
        n=told.future,
        served=served,
        ended=ended,
    )
    lanes = list(dict.fromkeys(row["lane"] for row in rows))
    labels = [{"lane": lane, "words": shortened(lane, 60)} for lane in lanes]
    y = alt.Y("lane:N", sort=lanes, axis=None, scale=alt.Scale(paddingInner=0.1))
    base = alt.Chart(values(rows)).encode(
        y=y,
        tooltip=[
            alt.Tooltip("lane:N", title=say("order or gate")),
            alt.Tooltip("words:N", title=say("place or state")),
            alt.Tooltip("start:T", title=say("from"), format="%Y-%m-%d"),
            alt.Tooltip("end:T", title=say("to"), format="%Y-%m-%d"),
        ],
    )
    x = alt.X("start:T", axis=alt.Axis(title=None, format="%b %y", labelOverlap="parity", grid=True))
    layers = [
        base.mark_bar(height=9, yOffset=7, stroke=look.background, strokeWidth=1).encode(
            x=x,
            x2=alt.X2("end:T"),
            color=alt.Color("colour:N", scale=None),
            opacity=alt.Opacity("opacity:Q", scale=None),
        ),
        alt.Chart(values(labels))
        .mark_text(align="left", dy=-6, fontSize=11)
        .encode(y=y, x=alt.value(0), text=alt.Text("words:N")),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(lanes)) * 32)
    data = [{key: row[key] for key in ("lane", "words", "start", "end")} for row in rows]
    return Figure(f"future-{told.future}", takeaway, chart, data)


def _gate_stretch(stretch: Row, look: Look, say: Wording) -> Row:
    state = str(stretch["state"])
    return _stretch(str(stretch["gate"]), stretch, say(state), look.states[state], 1.0)


def _goods_stretch(stretch: Row, look: Look, say: Wording) -> Row:
    if stretch["kind"] == "wait":
        words = say("waits: {place}", place=str(stretch["place"]))
        return _stretch(str(stretch["order"]), stretch, words, look.quiet, 0.45)
    return _stretch(str(stretch["order"]), stretch, str(stretch["place"]), look.in_service, 1.0)


def _stretch(lane: str, stretch: Row, words: str, colour: str, opacity: float) -> Row:
    return {
        "lane": lane,
        "words": words,
        "start": moment(stretch["start"]),
        "end": moment(stretch["end"]),
        "colour": colour,
        "opacity": opacity,
    }
