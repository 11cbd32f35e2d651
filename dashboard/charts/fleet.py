"""Need against what is in service, and the odds month by month."""

import datetime as dt

import altair as alt

from dashboard.charts.figure import (
    Figure,
    finished,
    halo_text,
    moment,
    month_after,
    month_axis,
    month_cells,
    values,
)
from dashboard.charts.sources import kinds_of_source
from dashboard.charts.theme import LIGHT, Look, source_colour
from dashboard.wording import ENGLISH, Wording, shortened
from planner.compare.rows import Row
from planner.record.models import Month, PlanRecord, PoolMonth

_HEADROOM = 1.28
"""Room above the highest band for the label of the run-out date."""


def fleet_fan(
    record: PlanRecord, pool: str, look: Look = LIGHT, say: Wording = ENGLISH, height: int = 320
) -> Figure:
    """GPUs needed against GPUs in service in one pool, P10-P90 bands labelled in words."""
    months = [(month, _of_pool(month, pool)) for month in record.months]
    rows = [_fan_row(month, part) for month, part in months]
    top = max(max(row["need_p90"], row["in_service_p90"], row["with_rental"]) for row in rows)
    y = alt.Scale(domain=[0, max(1.0, top * _HEADROOM)], nice=False)
    unit = months[0][1].unit
    layers = [
        *_run_out(record, look, say),
        *_bands(rows, [month.start for month, _ in months], unit, y, look, say),
        *_arrivals(record, pool, look, say),
        *_band_labels(rows, y, look, say),
        *_rental_label(rows, y, look, say),
    ]
    takeaway = _fan_takeaway(pool, months, say)
    chart = finished(alt.layer(*layers), look, takeaway, height)
    return Figure(f"need-and-fleet-{shortened(pool, 20)}", takeaway, chart, rows)


def _of_pool(month: Month, pool: str) -> PoolMonth:
    return next(part for part in month.pools if part.pool == pool)


def _fan_row(month: Month, part: PoolMonth) -> Row:
    return {
        "month": month.month,
        "start": moment(month.start),
        "unit": part.unit,
        **{f"need_{q}": getattr(part.need_gpus, q) for q in ("p10", "p50", "p90")},
        **{f"in_service_{q}": getattr(part.in_service_gpus, q) for q in ("p10", "p50", "p90")},
        "reserved": part.reserved_gpus,
        "spot_p50": part.spot_gpus.p50,
        "with_rental": part.in_service_gpus.p50 + part.reserved_gpus + part.spot_gpus.p50,
        "unmet_p90": part.unmet_gpus.p90,
        "probability": part.probability.value,
        "probability_low": part.probability.low,
        "probability_high": part.probability.high,
    }


def _fan_takeaway(pool: str, months: list[tuple[Month, PoolMonth]], say: Wording) -> str:
    judged = [pair for pair in months if pair[0].required] or months
    month, part = min(judged, key=lambda pair: pair[1].probability.value)
    last_month, last = months[-1]
    return say(
        "{pool}: need grows to {low}–{high} GPUs by {last} in 8 of 10 futures; the plan serves it in {p} "
        "({range}) of futures in the weakest month, {month}.",
        pool=pool,
        low=say.count(last.need_gpus.p10),
        high=say.count(last.need_gpus.p90),
        last=say.month(last_month.month),
        p=say.percent(part.probability.value),
        range=say.percent_range(part.probability.low, part.probability.high),
        month=say.month(month.month),
    )


def _bands(
    rows: list[Row], days: list[dt.date], unit: str, y: alt.Scale, look: Look, say: Wording
) -> list[alt.Chart]:
    base = alt.Chart(values(rows)).encode(x=alt.X("start:T", axis=month_axis(days, say)))
    ended = [*rows, {**rows[-1], "start": moment(month_after(days[-1]))}]
    stepped = alt.Chart(values(ended)).encode(x=alt.X("start:T", axis=month_axis(days, say)))
    axis = alt.Axis(
        title=say("GPUs, counted in {unit}", unit=shortened(unit, 24)), tickCount=6, format=",.0f"
    )
    tip = [
        alt.Tooltip("month:N", title=say("month")),
        alt.Tooltip("need_p10:Q", title=say("needed, P10"), format=",.0f"),
        alt.Tooltip("need_p50:Q", title=say("needed, P50"), format=",.0f"),
        alt.Tooltip("need_p90:Q", title=say("needed, P90"), format=",.0f"),
        alt.Tooltip("in_service_p10:Q", title=say("in service, P10"), format=",.0f"),
        alt.Tooltip("in_service_p50:Q", title=say("in service, P50"), format=",.0f"),
        alt.Tooltip("in_service_p90:Q", title=say("in service, P90"), format=",.0f"),
        alt.Tooltip("reserved:Q", title=say("rented, reserved"), format=",.0f"),
        alt.Tooltip("probability:Q", title=say("probability met"), format=".1%"),
    ]
    layers = []
    for stem, colour, interpolate, drawn in (
        ("in_service", look.in_service, "step-after", stepped),
        ("need", look.need, "monotone", base),
    ):
        layers += [
            drawn.mark_area(opacity=0.24, color=colour, interpolate=interpolate).encode(
                y=alt.Y(f"{stem}_p10:Q", scale=y, axis=axis), y2=alt.Y2(f"{stem}_p90:Q")
            ),
            drawn.mark_line(color=colour, strokeWidth=2.5, interpolate=interpolate).encode(
                y=alt.Y(f"{stem}_p50:Q", scale=y, axis=axis), tooltip=tip
            ),
        ]
    if any(row["with_rental"] > row["in_service_p50"] for row in rows):
        layers.append(
            stepped.mark_line(
                color=look.reserved, strokeWidth=1.8, strokeDash=[5, 3], interpolate="step-after"
            ).encode(y=alt.Y("with_rental:Q", scale=y, axis=axis), tooltip=tip)
        )
    layers.append(base.mark_point(opacity=0, size=240).encode(y=alt.Y("need_p50:Q", scale=y), tooltip=tip))
    return layers


def _run_out(record: PlanRecord, look: Look, say: Wording) -> list[alt.Chart]:
    """The run-out date as a line, its P10-P90 range as a shade behind it."""
    dates = record.answer.runs_out
    if dates.p10 is None:
        return []
    first, last = record.months[0].start, record.months[-1].start
    start, end = max(dates.p10, first), min(dates.p90 or last, last)
    layers = [
        alt.Chart(values([{"from": moment(start), "to": moment(end)}]))
        .mark_rect(color=look.ink, opacity=0.07)
        .encode(x=alt.X("from:T"), x2=alt.X2("to:T"))
    ]
    middle = dates.p50
    at = middle if middle is not None and middle <= last else end
    if middle is not None and middle <= last:
        rule = alt.Chart(values([{"at": moment(middle)}])).mark_rule(color=look.ink, strokeDash=[2, 3])
        layers.append(rule.encode(x=alt.X("at:T")))
    words = say("fleet of today runs out:\n{middle} ({low} to {high})", **_dates_in_words(record, say))
    late = (at - first) > (last - first) * 0.55
    data = values([{"at": moment(at), "words": words}])
    marks = halo_text(
        data, look, align="right" if late else "left", dx=-6 if late else 6, baseline="top", color=look.ink
    )
    return [
        *layers,
        *[mark.encode(x=alt.X("at:T"), y=alt.value(4), text=alt.Text("words:N")) for mark in marks],
    ]


def _dates_in_words(record: PlanRecord, say: Wording) -> dict[str, str]:
    dates = record.answer.runs_out
    return {
        name: say("later") if day is None else say.month(f"{day:%Y-%m}")
        for name, day in (("low", dates.p10), ("middle", dates.p50), ("high", dates.p90))
    }


def _arrivals(record: PlanRecord, pool: str, look: Look, say: Wording) -> list[alt.Chart]:
    """When each order serves: a tick at the median, a line from P10 to P90, on the floor of the chart."""
    last = record.months[-1].start
    kinds = kinds_of_source(record)
    rows = [
        {
            "from": moment(min(order.arrives.p10, last)),
            "at": moment(min(order.arrives.p50 or last, last)),
            "to": moment(min(order.arrives.p90 or last, last)),
            "colour": source_colour(look, kinds.get(order.source, "")),
            "words": say("{gpus} {sku} from {source}", gpus=order.gpus, sku=order.sku, source=order.source),
            "ordered": say.day(order.order_on),
            "serves": f"{say.day(order.arrives.p10)} – {say.day(order.arrives.p90)}",
        }
        for order in record.orders
        if order.pool == pool and order.arrives.p10 is not None and order.gpus > 0
    ]
    if not rows:
        return []
    tip = [
        alt.Tooltip("words:N", title=say("order")),
        alt.Tooltip("ordered:N", title=say("ordered on")),
        alt.Tooltip("serves:N", title=say("serves, P10 to P90")),
    ]
    base = alt.Chart(values(rows)).encode(
        color=alt.Color("colour:N", scale=None), y=alt.value("height"), tooltip=tip
    )
    return [
        base.mark_rule(strokeWidth=2, opacity=0.45, yOffset=-6).encode(x=alt.X("from:T"), x2=alt.X2("to:T")),
        base.mark_tick(orient="vertical", height=13, thickness=3, yOffset=-6).encode(x=alt.X("at:T")),
        alt.Chart(values([{"words": say("orders arrive: tick P50, line P10 to P90")}]))
        .mark_text(align="left", fontSize=11, color=look.quiet, dy=-21)
        .encode(x=alt.value(2), y=alt.value("height"), text=alt.Text("words:N")),
    ]


def _band_labels(rows: list[Row], y: alt.Scale, look: Look, say: Wording) -> list[alt.Chart]:
    """The bands in words: the higher one is labelled above itself, the lower one below."""
    last = rows[-1]
    need_on_top = last["need_p50"] >= last["in_service_p50"]
    labels = [
        ("need", look.need, say("needed: 8 in 10 futures lie here"), need_on_top),
        ("in_service", look.in_service, say("in service: 8 in 10 futures lie here"), not need_on_top),
    ]
    layers = []
    for stem, colour, words, above in labels:
        height = last[f"{stem}_p90"] if above else last[f"{stem}_p10"]
        floor = 0.14 * y.domain[1]
        data = values(
            [{"at": last["start"], "height": height if above else max(height, floor), "words": words}]
        )
        marks = halo_text(
            data,
            look,
            align="right",
            baseline="bottom" if above else "top",
            dy=-8 if above else 8,
            color=colour,
            fontWeight=600,
        )
        layers += [
            mark.encode(x=alt.X("at:T"), y=alt.Y("height:Q", scale=y), text=alt.Text("words:N"))
            for mark in marks
        ]
    return layers


def _rental_label(rows: list[Row], y: alt.Scale, look: Look, say: Wording) -> list[alt.Chart]:
    """What the dashed line is, where it stands furthest above the fleet of one's own."""
    widest = max(rows, key=lambda row: row["with_rental"] - row["in_service_p50"])
    if widest["with_rental"] <= widest["in_service_p50"]:
        return []
    late = widest["start"] > rows[len(rows) * 2 // 3]["start"]
    data = values(
        [{"at": widest["start"], "height": widest["with_rental"], "words": say("with rental, P50")}]
    )
    marks = halo_text(
        data,
        look,
        align="right" if late else "left",
        baseline="bottom",
        dy=-4,
        dx=-4 if late else 4,
        fontSize=11,
        color=look.reserved,
    )
    return [
        mark.encode(x=alt.X("at:T"), y=alt.Y("height:Q", scale=y), text=alt.Text("words:N")) for mark in marks
    ]


def month_strip(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Probability that every pool's demand is met, month by month: number, interval and the goal's line."""
    goal = record.answer.goal
    rows = [_strip_row(month, goal, say) for month in record.months]
    height = 116
    base = alt.Chart(values(rows)).encode(x=month_cells([row["month"] for row in rows], say))
    y = alt.Scale(domain=[0, 1])
    share = alt.Axis(
        values=[0, 0.5, goal],
        title=say("probability"),
        labelExpr=f"(datum.value == {goal} ? '{say('goal')} ' : '') + format(datum.value, '.0%')",
        grid=False,
    )
    tip = [
        alt.Tooltip("month:N", title=say("month")),
        alt.Tooltip("probability:Q", title=say("probability met"), format=".1%"),
        alt.Tooltip("low:Q", title=say("interval, low"), format=".1%"),
        alt.Tooltip("high:Q", title=say("interval, high"), format=".1%"),
        alt.Tooltip("verdict:N", title=say("goal")),
    ]
    colour = alt.Color(
        "verdict_key:N",
        scale=alt.Scale(domain=["met", "missed", "not required"], range=[look.met, look.missed, look.faint]),
        legend=None,
    )
    layers = [
        base.mark_bar().encode(y=alt.Y("probability:Q", scale=y, axis=share), color=colour, tooltip=tip),
        base.mark_rule(color=look.ink, strokeWidth=1.4).encode(
            y=alt.Y("low:Q", scale=y, axis=share), y2=alt.Y2("high:Q")
        ),
        base.mark_text(baseline="bottom", fontWeight=600, fontSize=12, color=look.ink, dy=-7).encode(
            y=alt.value("height"), text=alt.Text("number:N"), tooltip=tip
        ),
        alt.Chart(values([{"goal": goal}]))
        .mark_rule(color=look.goal, strokeDash=[5, 3], strokeWidth=1.4)
        .encode(y=alt.Y("goal:Q", scale=y)),
    ]
    takeaway = _strip_takeaway(record, say)
    data = [
        {key: value for key, value in row.items() if key not in ("verdict_key", "number")} for row in rows
    ]
    return Figure(
        "probability-by-month", takeaway, finished(alt.layer(*layers), look, takeaway, height), data
    )


def _strip_row(month: Month, goal: float, say: Wording) -> Row:
    probability = month.probability
    key = "not required" if not month.required else "met" if probability.value >= goal else "missed"
    return {
        "month": month.month,
        "probability": probability.value,
        "low": probability.low,
        "high": probability.high,
        "verdict_key": key,
        "verdict": say(key),
        "number": f"{100 * probability.value:.0f}" + ("▾" if key == "missed" else ""),
    }


def _strip_takeaway(record: PlanRecord, say: Wording) -> str:
    judged = [month for month in record.months if month.required]
    missed = [month for month in judged if month.probability.value < record.answer.goal]
    weakest = record.answer
    figures = {
        "goal": say.percent(weakest.goal),
        "p": say.percent(weakest.probability.value),
        "range": say.percent_range(weakest.probability.low, weakest.probability.high),
        "month": say.month(weakest.weakest_month),
        "n": len(judged),
        "missed": len(missed),
    }
    if not judged:
        return say("No month is bound to the goal; the weakest is {month} with {p} ({range}).", **figures)
    if missed:
        return say(
            "The goal of {goal} is missed in {missed} of {n} months; the weakest is {month} with {p} "
            "({range}).",
            **figures,
        )
    return say(
        "The goal of {goal} is met in all {n} months it binds; the weakest is {month} with {p} ({range}).",
        **figures,
    )
