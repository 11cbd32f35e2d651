"""Need against what is in service, and the odds month by month."""

import datetime as dt
from typing import Any

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, moment, month_after, month_axis, month_cells, values
from dashboard.charts.sources import source_colours
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import Month, Order, PlanRecord, PoolMonth
from planner.report.language import ENGLISH, Wording, shortened

_HEADROOM = 1.28
"""Room above the highest band for the label of the run-out date."""


def fleet_fan(record: PlanRecord, pool: str, look: Look = LIGHT, say: Wording = ENGLISH, height: int = 320) -> Figure:
    """GPUs needed against GPUs in service in one pool, P10-P90 bands labelled in words."""
    months = [(month, part) for month in record.months for part in month.pools if part.pool == pool]
    rows = [_fan_row(month, part) for month, part in months]
    top = max(max(row["need_p90"], row["in_service_p90"], row["with_rental"]) for row in rows)
    y = alt.Scale(domain=[0, max(1.0, top * _HEADROOM)], nice=False)
    layers = [
        *_run_out(record, look, say),
        *_bands(rows, [month.start for month, _ in months], y, look, say),
        *_arrivals(record, pool, look, say),
        *_band_labels(rows, y, look, say),
        *_rental_label(rows, y, look, say),
    ]
    name = f"need-and-fleet-{shortened(pool, 20)}"
    return parts.figure(name, _fan_takeaway(pool, months, say), layers, look, height, rows)


def _fan_row(month: Month, part: PoolMonth) -> Row:
    return {
        "month": month.month,
        "start": moment(month.start),
        "unit": part.unit,
        **parts.picked(part.need_gpus, *parts.QUANTILES, stem="need_"),
        **parts.picked(part.in_service_gpus, *parts.QUANTILES, stem="in_service_"),
        "reserved": part.reserved_gpus,
        "spot_p50": part.spot_gpus.p50,
        "with_rental": part.in_service_gpus.p50 + part.reserved_gpus + part.spot_gpus.p50,
        "unmet_p90": part.unmet_gpus.p90,
        **parts.interval(part.probability, stem="probability_"),
    }


def _fan_takeaway(pool: str, months: list[tuple[Month, PoolMonth]], say: Wording) -> str:
    judged = [pair for pair in months if pair[0].required] or months
    month, part = min(judged, key=lambda pair: pair[1].probability.value)
    last_month, last = months[-1]
    return say(
        "{pool}: need grows to {low}–{high} GPUs by {last} in 8 of 10 futures; the plan serves it in {p} "
        "({range}) of futures in the weakest month, {month}.",
        pool=pool,
        **say.counts(low=last.need_gpus.p10, high=last.need_gpus.p90),
        last=say.month(last_month.month),
        p=say.percent(part.probability.value),
        range=say.percent_range(part.probability.low, part.probability.high),
        month=say.month(month.month),
    )


def _bands(rows: list[Row], days: list[dt.date], y: alt.Scale, look: Look, say: Wording) -> list[alt.Chart]:
    """Bands and medians of what is in service and of need, the fleet with rental, and where a pointer is told."""
    x = alt.X("start:T", axis=month_axis(days, say))
    base = alt.Chart(values(rows)).encode(x=x)
    stepped = parts.chart(*rows, {**rows[-1], "start": moment(month_after(days[-1]))}).encode(x=x)
    title = say("GPUs, counted in {unit}", unit=shortened(rows[0]["unit"], 24))
    how = {"scale": y, "axis": alt.Axis(title=title, tickCount=6, format=",.0f")}
    tip = _fan_tips(say)
    layers = [
        *_band(stepped, "in_service", how, tip, color=look.in_service, interpolate="step-after"),
        *_band(base, "need", how, tip, color=look.need, interpolate="monotone"),
    ]
    if any(row["with_rental"] > row["in_service_p50"] for row in rows):
        dashed = {"strokeWidth": 1.8, "strokeDash": [5, 3], "interpolate": "step-after"}
        rented = stepped.mark_line(color=look.reserved, **dashed)
        layers.append(rented.encode(y=alt.Y("with_rental:Q", **how), tooltip=tip))
    layers.append(base.mark_point(opacity=0, size=240).encode(y=alt.Y("need_p50:Q", scale=y), tooltip=tip))
    return layers


def _fan_tips(say: Wording) -> list[alt.Tooltip]:
    return parts.tips(
        ("month:N", say("month")),
        ("need_p10:Q", say("needed, P10"), ",.0f"),
        ("need_p50:Q", say("needed, P50"), ",.0f"),
        ("need_p90:Q", say("needed, P90"), ",.0f"),
        ("in_service_p10:Q", say("in service, P10"), ",.0f"),
        ("in_service_p50:Q", say("in service, P50"), ",.0f"),
        ("in_service_p90:Q", say("in service, P90"), ",.0f"),
        ("reserved:Q", say("rented, reserved"), ",.0f"),
        ("probability:Q", say("probability met"), ".1%"),
    )


def _band(base: alt.Chart, stem: str, how: dict[str, Any], tip: list[alt.Tooltip], **mark: Any) -> list[alt.Chart]:
    area = base.mark_area(opacity=0.24, **mark)
    line = base.mark_line(strokeWidth=2.5, **mark)
    return [
        area.encode(**parts.upright(f"{stem}_p10:Q", f"{stem}_p90:Q", **how)),
        line.encode(y=alt.Y(f"{stem}_p50:Q", **how), tooltip=tip),
    ]


def _run_out(record: PlanRecord, look: Look, say: Wording) -> list[alt.Chart]:
    """The run-out date as a line, its P10-P90 range as a shade behind it."""
    dates = record.answer.runs_out
    if dates.p10 is None:
        return []
    first, last = record.months[0].start, record.months[-1].start
    start, end = max(dates.p10, first), min(dates.p90 or last, last)
    shade = parts.chart({"from": moment(start), "to": moment(end)}).mark_rect(color=look.ink, opacity=0.07)
    layers = [shade.encode(**parts.across("from:T", "to:T"))]
    at = end
    if dates.p50 is not None and dates.p50 <= last:
        at = dates.p50
        rule = parts.chart({"at": moment(at)}).mark_rule(color=look.ink, strokeDash=[2, 3])
        layers.append(rule.encode(x=alt.X("at:T")))
    words = say("fleet of today runs out:\n{middle} ({low} to {high})", **_dates_in_words(record, say))
    side = {"align": "right", "dx": -6} if at - first > (last - first) * 0.55 else {"align": "left", "dx": 6}
    place = {"at": moment(at), "words": words}
    mark = {**side, "baseline": "top", "color": look.ink}
    return [*layers, *parts.halo_label(place, look, alt.X("at:T"), alt.value(4), **mark)]


def _dates_in_words(record: PlanRecord, say: Wording) -> dict[str, str]:
    dates = record.answer.runs_out
    return {
        name: say("later") if day is None else say.month(f"{day:%Y-%m}")
        for name, day in (("low", dates.p10), ("middle", dates.p50), ("high", dates.p90))
    }


def _arrivals(record: PlanRecord, pool: str, look: Look, say: Wording) -> list[alt.Chart]:
    """When each order serves: a tick at the median, a line from P10 to P90, on the floor of the chart."""
    last, tints = record.months[-1].start, source_colours(record, look)
    rows = [
        _arrival(order, first, last, say) | {"colour": tints.get(order.source, look.in_service)}
        for order in record.orders
        if order.pool == pool and order.gpus > 0 and (first := order.arrives.p10)
    ]
    if not rows:
        return []
    tip = parts.tips(
        ("words:N", say("order")), ("ordered:N", say("ordered on")), ("serves:N", say("serves, P10 to P90"))
    )
    floor = alt.value("height")
    base = alt.Chart(values(rows)).encode(color=parts.own_colour(), y=floor, tooltip=tip)
    told = parts.chart({"words": say("orders arrive: tick P50, line P10 to P90")})
    note = told.mark_text(align="left", fontSize=11, color=look.quiet, dy=-21)
    tick = base.mark_tick(orient="vertical", height=13, thickness=3, yOffset=-6)
    return [
        base.mark_rule(strokeWidth=2, opacity=0.45, yOffset=-6).encode(**parts.across("from:T", "to:T")),
        tick.encode(x=alt.X("at:T")),
        note.encode(x=alt.value(2), y=floor, text=alt.Text("words:N")),
    ]


def _arrival(order: Order, first: dt.date, last: dt.date, say: Wording) -> Row:
    """An order's arrival cut at the ``last`` month."""
    return {
        "from": moment(min(first, last)),
        "at": moment(min(order.arrives.p50 or last, last)),
        "to": moment(min(order.arrives.p90 or last, last)),
        "words": say("{gpus} {sku} from {source}", **parts.picked(order, "gpus", "sku", "source")),
        "ordered": say.day(order.order_on),
        "serves": f"{say.day(first)} – {say.day(order.arrives.p90)}",
    }


def _band_labels(rows: list[Row], y: alt.Scale, look: Look, say: Wording) -> list[alt.Chart]:
    """The bands in words: the higher one is labelled above itself, the lower one below."""
    last = rows[-1]
    need_on_top = last["need_p50"] >= last["in_service_p50"]
    layers: list[alt.Chart] = []
    for stem, colour, words, above in (
        ("need", look.need, say("needed: 8 in 10 futures lie here"), need_on_top),
        ("in_service", look.in_service, say("in service: 8 in 10 futures lie here"), not need_on_top),
    ):
        height = last[f"{stem}_p90"] if above else max(last[f"{stem}_p10"], 0.14 * y.domain[1])
        side = {"baseline": "bottom", "dy": -8} if above else {"baseline": "top", "dy": 8}
        place = {"at": last["start"], "height": height, "words": words}
        mark = {**side, "align": "right", "color": colour, "fontWeight": 600}
        layers += parts.halo_label(place, look, alt.X("at:T"), alt.Y("height:Q", scale=y), **mark)
    return layers


def _rental_label(rows: list[Row], y: alt.Scale, look: Look, say: Wording) -> list[alt.Chart]:
    """What the dashed line is, where it stands furthest above the fleet of one's own."""
    widest = max(rows, key=lambda row: row["with_rental"] - row["in_service_p50"])
    if widest["with_rental"] <= widest["in_service_p50"]:
        return []
    late = widest["start"] > rows[len(rows) * 2 // 3]["start"]
    side = {"align": "right", "dx": -4} if late else {"align": "left", "dx": 4}
    place = {"at": widest["start"], "height": widest["with_rental"], "words": say("with rental, P50")}
    mark = {**side, "baseline": "bottom", "dy": -4, "fontSize": 11, "color": look.reserved}
    return parts.halo_label(place, look, alt.X("at:T"), alt.Y("height:Q", scale=y), **mark)


def month_strip(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Probability that every pool's demand is met, month by month: number, interval and the goal's line."""
    goal = record.answer.goal
    rows = [_strip_row(month, goal, say) for month in record.months]
    base = alt.Chart(values(rows)).encode(x=month_cells([row["month"] for row in rows], say))
    named = f"(datum.value == {goal} ? '{say('goal')} ' : '') + format(datum.value, '.0%')"
    share = alt.Axis(values=[0, 0.5, goal], title=say("probability"), labelExpr=named, grid=False)
    scale = alt.Scale(domain=[0, 1])
    month, verdict = parts.tips(("month:N", say("month")), ("verdict:N", say("goal")))
    tip = [month, *parts.odds_tips(say), verdict]
    verdicts, tints = ["met", "missed", "not required"], [look.met, look.missed, look.faint]
    number = base.mark_text(baseline="bottom", fontWeight=600, fontSize=12, color=look.ink, dy=-7)
    rule = parts.chart({"goal": goal}).mark_rule(color=look.goal, strokeDash=[5, 3], strokeWidth=1.4)
    layers = [
        base.mark_bar().encode(
            y=alt.Y("probability:Q", scale=scale, axis=share),
            color=parts.colours("verdict_key:N", verdicts, tints, None),
            tooltip=tip,
        ),
        base.mark_rule(color=look.ink, strokeWidth=1.4).encode(
            **parts.upright("low:Q", "high:Q", scale=scale, axis=share)
        ),
        number.encode(y=alt.value("height"), text=alt.Text("number:N"), tooltip=tip),
        rule.encode(y=alt.Y("goal:Q", scale=scale)),
    ]
    data = parts.without(rows, "verdict_key", "number")
    return parts.figure("probability-by-month", _strip_takeaway(record, say), layers, look, 116, data)


def _strip_row(month: Month, goal: float, say: Wording) -> Row:
    probability = month.probability
    key = "not required" if not month.required else "met" if probability.value >= goal else "missed"
    return {
        "month": month.month,
        **parts.interval(probability),
        "verdict_key": key,
        "verdict": say(key),
        "number": f"{100 * probability.value:.0f}" + ("▾" if key == "missed" else ""),
    }


def _strip_takeaway(record: PlanRecord, say: Wording) -> str:
    answer = record.answer
    judged = [month for month in record.months if month.required]
    missed = [month for month in judged if month.probability.value < answer.goal]
    figures = {
        "goal": say.percent(answer.goal),
        "p": say.percent(answer.probability.value),
        "range": say.percent_range(answer.probability.low, answer.probability.high),
        "month": say.month(answer.weakest_month),
        "n": len(judged),
        "missed": len(missed),
    }
    if not judged:
        return say("No month is bound to the goal; the weakest is {month} with {p} ({range}).", **figures)
    if missed:
        return say(
            "The goal of {goal} is missed in {missed} of {n} months; the weakest is {month} with {p} ({range}).",
            **figures,
        )
    return say(
        "The goal of {goal} is met in all {n} months it binds; the weakest is {month} with {p} ({range}).", **figures
    )
