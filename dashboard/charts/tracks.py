"""The way of the goods: gates past and future, the pipeline by place, and one future as a Gantt chart."""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, moment, month_after, values
from dashboard.charts.gates import stacked, state_colours
from dashboard.charts.theme import LIGHT, STATE_LETTERS, STATES, Look
from planner.compare.rows import Row
from planner.compare.single_future import PLACES, Story
from planner.record.models import PlanRecord
from planner.reference.gate_history import GateEvent, events, states
from planner.report.language import ENGLISH, Wording, shortened
from planner.scenario.gates import Gate

_YEARS_BEFORE = 2
_READABLE_DAYS, _READABLE_SHARE = 45, 0.16
"""A past state shorter than this, a share below this leaves no room for its letter."""


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
    rows = [*_past(gate, today), *_future(record, gate)]
    for row in rows:
        row |= {"state_shown": say(row["state"]), "ink": look.state_ink[row["state"]]}
    layers = [
        *_states(rows, today, look, say),
        *_today(today, look, say),
        *_event_marks(_marks(record, gate), look, say),
    ]
    name, takeaway = f"gate-history-{shortened(gate.name, 20)}", _gate_takeaway(record, gate, say)
    drawn = alt.layer(*layers).resolve_scale(color="independent")
    data = parts.only(rows, "gate", "state", "start", "end", "share", "source")
    return parts.figure(name, takeaway, drawn, look, 130, data)


def _states(rows: list[Row], today: dt.date, look: Look, say: Wording) -> list[alt.Chart]:
    """The states as fields of colour with their letters."""
    end = max((dt.date.fromisoformat(row["end"][:10]) for row in rows), default=today)
    span = alt.Scale(domain=[moment(_first_day(today)), moment(end)])
    months = alt.Axis(title=None, format="%b %y", labelOverlap="parity", tickCount=9)
    share = alt.Axis(format=".0%", tickCount=3, title=say("share of futures"), orient="right", grid=False)
    base = alt.Chart(values(rows))
    fields = base.mark_rect().encode(
        **parts.across("start:T", "end:T", scale=span, axis=months),
        **parts.upright("from:Q", "to:Q", axis=share, scale=alt.Scale(domain=[0, 1.12], nice=False)),
        color=state_colours("state_shown:N", look, say),
        tooltip=parts.tips(
            ("state_shown:N", say("state")),
            ("start:T", say("from"), "%Y-%m-%d"),
            ("share:Q", say("share of futures"), ".0%"),
            ("source:N", say("source")),
        ),
    )
    letters = base.transform_filter("datum.letter != ''").mark_text(fontWeight=600, fontSize=11)
    place = {"x": alt.X("middle:T"), "y": alt.Y("level:Q")}
    return [fields, letters.encode(**place, text=alt.Text("letter:N"), color=parts.own_colour("ink:N"))]


def _today(today: dt.date, look: Look, say: Wording) -> list[alt.Chart]:
    """The plan's day as a rule with its date on top."""
    x, at = alt.X("at:T"), moment(today)
    words = parts.chart({"at": at, "words": say.day(today)}).mark_text(
        align="left", baseline="top", dx=5, dy=-13, fontSize=11, color=look.ink
    )
    return [
        parts.chart({"at": at}).mark_rule(color=look.ink, strokeWidth=2).encode(x=x),
        words.encode(x=x, y=alt.value(0), text=alt.Text("words:N")),
    ]


def _marks(record: PlanRecord, gate: Gate) -> list[Row]:
    """The events inside the window, numbered as in the list of all."""
    return [
        {"at": moment(event.date), "number": str(number), "words": event.event, "source": event.source}
        for number, event in enumerate(gate_events(record, gate), start=1)
        if event.date >= _first_day(record.scenario.start)
    ]


def _event_marks(marks: list[Row], look: Look, say: Wording) -> list[alt.Chart]:
    if not marks:  # an empty layer would be a picture without a text alternative
        return []
    tip = parts.tips(("at:T", say("date"), "%Y-%m-%d"), ("words:N", say("event")), ("source:N", say("source")))
    base = alt.Chart(values(marks)).encode(x=alt.X("at:T"), tooltip=tip)
    ticks = base.mark_tick(orient="vertical", color=look.ink, thickness=1.5, height=8)
    numbers = base.mark_text(color=look.ink, fontSize=10, baseline="bottom")
    return [ticks.encode(y=alt.datum(1.03)), numbers.encode(y=alt.datum(1.05), text=alt.Text("number:N"))]


def _first_day(today: dt.date) -> dt.date:
    return today.replace(year=today.year - _YEARS_BEFORE, day=1)


def _past(gate: Gate, today: dt.date) -> list[Row]:
    """The states on record, cut at the plan's day, each over the whole height."""
    if gate.product is None or gate.always is not None:
        return []
    on_record = states(gate.product, gate.authority, gate.as_of or today, gate.reading)
    known = [state for state in on_record if state.state in STATES]
    rows: list[Row] = []
    for state, end in zip(known, [*(later.from_date for later in known[1:]), today], strict=True):
        start = max(state.from_date, _first_day(today))
        if start < end:
            readable = (end - start).days >= _READABLE_DAYS
            rows.append(_cell(gate.name, state.state, (start, end), (0.0, 1.0), state.source, readable))
    return rows


def _future(record: PlanRecord, gate: Gate) -> list[Row]:
    """Shares of the futures, month by month, stacked from closed to open."""
    days = [month.start for month in record.months]
    spans = pairwise([*days, month_after(days[-1])])
    return [
        _cell(gate.name, state, span, (floor, floor + share), "", share > _READABLE_SHARE)
        for month, span in zip(record.months, spans, strict=True)
        for state, share, floor in stacked(month.gates.get(gate.name, {}))
        if share > 0
    ]


def _cell(
    gate: str, state: str, days: tuple[dt.date, dt.date], shares: tuple[float, float], source: str, readable: bool
) -> Row:
    """A field of colour: a state between two days, and between two heights."""
    (start, end), (low, high) = days, shares
    return {
        "gate": gate,
        "state": state,
        "start": moment(start),
        "end": moment(end),
        "middle": moment(start + (end - start) / 2),
        "from": low,
        "to": high,
        "level": (low + high) / 2,
        "share": high - low,
        "source": source,
        "letter": STATE_LETTERS[state] if readable else "",
    }


def _gate_takeaway(record: PlanRecord, gate: Gate, say: Wording) -> str:
    odds = next((item for item in record.gate_odds if item.gate == gate.name), None)
    today = record.months[0].gates.get(gate.name, {})
    state = say(max(today, key=lambda name: today[name]) if today else "closed")
    if odds is None:
        day = say.day(record.scenario.start)
        return say("{gate} is {state} on {day}.", gate=gate.name, state=state, day=day)
    return say(
        "{gate} is {state}: an order of the first day serves within the horizon in {odds} of futures, with this gate "
        "always open in {opened}.",
        gate=gate.name,
        state=state,
        odds=say.odds(odds.arrives),
        opened=say.odds(odds.arrives_if_open),
    )


def pipeline_area(rows: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean GPUs of all orders by place, month by month."""
    months = list(dict.fromkeys(str(row["month"]) for row in rows))
    tints = (look.quiet, look.spot, look.reserved, look.in_service, look.unmet)
    names = [say(place) for place in PLACES]
    drawn = [{**row, "place_shown": say(row["place"]), "rank": PLACES.index(row["place"])} for row in rows]
    legend = alt.Legend(title=None, columns=3, labelLimit=220)
    stack = parts.monthly_stack(drawn, months, say("GPUs, mean over futures"), say).encode(
        color=parts.colours("place_shown:N", names, tints, legend, sort=names),
        tooltip=parts.tips(("month:N", say("month")), ("place_shown:N", say("place")), ("gpus:Q", "GPUs", ",.1f")),
    )
    return parts.figure("pipeline", _pipeline_takeaway(rows, months[-1], say), stack, look, 240, list(rows))


def _pipeline_takeaway(rows: Sequence[Row], month: str, say: Wording) -> str:
    def gpus(place: str) -> float:
        return sum(row["gpus"] for row in rows if row["month"] == month and row["place"] == place)

    return say(
        "By {month} {serving} of the GPUs ordered serve on average; {ended} were ended by a gate.",
        month=say.month(month),
        **say.counts(serving=gpus("serving"), ended=gpus(PLACES[-1])),
    )


def story_gantt(told: Story, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """One future: a line for each gate and each order; waiting pale, work strong."""
    rows = [_stretch(each, "gate", say(each["state"]), look.states[each["state"]]) for each in told.gates]
    rows += [_goods_stretch(stretch, look, say) for stretch in told.visits]
    lanes = list(dict.fromkeys(row["lane"] for row in rows))
    y = parts.lane("lane:N", lanes, gap=0.1)
    words = parts.chart(*({"lane": name, "words": shortened(name, 60)} for name in lanes))
    layers = [
        _stretches(rows, look, say).encode(y=y),
        words.mark_text(align="left", dy=-6, fontSize=11).encode(y=y, x=alt.value(0), text=alt.Text("words:N")),
    ]
    height, data = max(1, len(lanes)) * 32, parts.only(rows, "lane", "words", "start", "end")
    return parts.figure(f"future-{told.future}", _story_takeaway(told, say), layers, look, height, data)


def _stretches(rows: list[Row], look: Look, say: Wording) -> alt.Chart:
    months = alt.Axis(title=None, format="%b %y", labelOverlap="parity", grid=True)
    bars = alt.Chart(values(rows)).mark_bar(height=9, yOffset=7, stroke=look.background, strokeWidth=1)
    return bars.encode(
        **parts.across("start:T", "end:T", axis=months),
        color=parts.own_colour(),
        opacity=alt.Opacity("opacity:Q", scale=None),
        tooltip=parts.tips(
            ("lane:N", say("order or gate")),
            ("words:N", say("place or state")),
            ("start:T", say("from"), "%Y-%m-%d"),
            ("end:T", say("to"), "%Y-%m-%d"),
        ),
    )


def _story_takeaway(told: Story, say: Wording) -> str:
    return say(
        "Future {n}: {served} orders serve, {ended} are ended by a gate, the others are still on their way.",
        n=told.future,
        served=sum(1 for item in told.happenings if item.what == "{order}: serves."),
        ended=sum(1 for item in told.happenings if item.rank == 0),
    )


def _goods_stretch(stretch: Row, look: Look, say: Wording) -> Row:
    place = str(stretch["place"])
    if stretch["kind"] == "wait":
        return _stretch(stretch, "order", say("waits: {place}", place=place), look.quiet, 0.45)
    return _stretch(stretch, "order", place, look.in_service)


def _stretch(stretch: Row, lane: str, words: str, colour: str, opacity: float = 1.0) -> Row:
    days = {"start": moment(stretch["start"]), "end": moment(stretch["end"])}
    return {"lane": str(stretch[lane]), "words": words, **days, "colour": colour, "opacity": opacity}
