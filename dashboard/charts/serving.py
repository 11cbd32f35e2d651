"""What a replica serves, with the label and the interval of every figure."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, values
from dashboard.charts.theme import LIGHT, Look
from executor.estimate.closed_loop import Estimate
from executor.estimate.measured_points import Case
from executor.model.cost import Layout
from planner.compare.rows import Row
from planner.record.models import PlanRecord, Serving
from planner.report.language import ENGLISH, Wording, shortened


def serving_table(record: PlanRecord) -> list[Row]:
    """One row per pool and kind of GPU, full digits; None where there is no figure."""
    return [_serving_row(item) for item in record.sizing]


def _serving_row(item: Serving) -> Row:
    rate = item.requests_per_s
    at_slo = ("gpus_per_request_per_s", "ttft_ms", "tpot_ms", "concurrency", "mfu", "mbu")
    return {
        "pool": item.pool,
        "gpu": item.sku,
        "model": item.model.rpartition("/")[2],
        **parts.picked(item, "precision", "engine"),
        "layout": layout_words(item.layout),
        **parts.picked(item, "gpus_per_replica", "fits"),
        "requests_per_s": rate and rate.value,
        "low": rate and rate.low,
        "high": rate and rate.high,
        "level": rate and rate.level,
        **parts.picked(item, *at_slo, "label", "limits", "reason"),
    }


def layout_words(layout: dict[str, int]) -> str:
    """A layout in short: ``tp2 pp4``; ranks of one go without saying.

    >>> layout_words({"tp": 16, "pp": 1, "attention_dp": 1})
    'tp16'
    """
    return " ".join(f"{key}{size}" for key, size in layout.items() if size > 1) or "tp1"


def setup_layout(item: Serving) -> Layout:
    """The layout of a serving figure's set-up."""
    return Layout(**{key: size for key, size in item.layout.items() if key in Layout.__dataclass_fields__})


def serving_level(record: PlanRecord) -> float:
    """Confidence of the intervals of the serving figures."""
    return next((item.requests_per_s.level for item in record.sizing if item.requests_per_s), 0.8)


def goodput_by_pool(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Requests a second that one GPU serves at the SLO, by pool and kind of GPU, with the interval."""
    known = [row for row in serving_table(record) if row["requests_per_s"] is not None]
    rows = [_per_gpu(row, look, say) for row in known]
    level = say.percent(serving_level(record))
    title = say("requests a second per GPU at the SLO, with the {level} interval", level=level)
    base = alt.Chart(values(rows)).encode(y=parts.lane("line:N", gap=None), color=parts.own_colour())
    tip = parts.tips(
        ("line:N", say("pool and GPU")),
        ("value:Q", say("requests/s per GPU"), ".3f"),
        ("low:Q", say("low"), ".3f"),
        ("high:Q", say("high"), ".3f"),
        ("label:N", say("label")),
    )
    how = {"axis": alt.Axis(title=title, grid=True), "scale": alt.Scale(domainMin=0)}
    layers = [*parts.point_in_interval(base, "value:Q", tip, **how), parts.label_above(base, look)]
    data = parts.only(rows, "pool", "gpu", "model", "label", "value", "low", "high")
    return parts.figure("goodput-per-gpu", _takeaway(record, say), layers, look, max(1, len(rows)) * 42, data)


def _per_gpu(row: Row, look: Look, say: Wording) -> Row:
    """A row of the serving table per GPU, with its words and colour."""
    label, per_gpu = row["label"] or "", 1 / row["gpus_per_replica"]
    about = {"pool": shortened(row["pool"], 20), "gpu": row["gpu"], "label": say(label)}
    return {
        **{key: row[key] for key in ("pool", "gpu", "model", "label")},
        "value": row["requests_per_s"] * per_gpu,
        "low": row["low"] * per_gpu,
        "high": row["high"] * per_gpu,
        "line": f"{row['pool']} / {row['gpu']}",
        "words": say("{pool} on {gpu}: {label}", **about),
        "colour": look.labels.get(label, look.quiet),
    }


def _takeaway(record: PlanRecord, say: Wording) -> str:
    known = [item for item in record.sizing if item.label is not None]
    measured = [item for item in known if item.label == "measured"]
    refused = [item for item in record.sizing if not item.fits]
    sentence = (
        say("Of {n} serving figures, {m} are measured.", n=len(known), m=len(measured))
        if measured
        else say("None of the {n} serving figures is measured on its own GPU and engine.", n=len(known))
    )
    if refused:
        sentence += " " + say("Layouts that do not fit: {n}.", n=len(refused))
    return sentence


def throughput_curve(
    measured: Sequence[Case], modelled: Sequence[Estimate], look: Look = LIGHT, say: Wording = ENGLISH
) -> Figure:
    """Throughput per GPU against TPOT at rising concurrency: measured points, the model, and its roofline.

    ``measured`` and ``modelled`` are of one model, GPU, engine, precision, layout and request lengths. The
    roofline is the model's throughput over the larger of MFU and MBU: what that resource would give at 100 %.
    """
    points = [_measured_point(case, say) for case in measured]
    lines = [_modelled_point(item, say) for item in modelled]
    colour = look.labels.get(modelled[0].label, look.quiet) if modelled else look.quiet
    layers = [*_curve(lines, colour, look, say), *_diamonds(points, look, say)]
    if lines:
        layers += _curve_labels(lines[-1], modelled[-1].label, colour, look, say)
    return parts.figure(
        "throughput-curve", _curve_takeaway(points, modelled, say), layers, look, 320, [*points, *lines]
    )


def _measured_point(case: Case, say: Wording) -> Row:
    return {
        "what": say("measured"),
        "concurrency": case.load.concurrency,
        "tpot_ms": case.tpot_ms,
        "throughput": case.throughput_per_gpu,
    }


def _modelled_point(item: Estimate, say: Wording) -> Row:
    rate = item.output_tokens_per_s_per_gpu
    return {
        "what": say(item.label),
        "concurrency": item.load.concurrency,
        "tpot_ms": item.tpot_ms.value,
        "throughput": rate.value,
        "low": rate.low,
        "high": rate.high,
        "roof": rate.value / max(item.mfu, item.mbu, 1e-6),
        "mfu": item.mfu,
        "mbu": item.mbu,
    }


def _curve_x(say: Wording) -> alt.X:
    return alt.X("tpot_ms:Q", axis=alt.Axis(title=say("TPOT, ms (lower is faster for the user)"), tickCount=8))


def _curve_y(say: Wording) -> alt.Axis:
    return alt.Axis(title=say("output tokens/s per GPU"), tickCount=6)


def _curve_tips(say: Wording) -> list[alt.Tooltip]:
    return parts.tips(
        ("what:N", say("label")),
        ("concurrency:Q", say("concurrency")),
        ("tpot_ms:Q", "TPOT, ms", ".1f"),
        ("throughput:Q", say("tokens/s per GPU"), ",.0f"),
    )


def _curve(lines: list[Row], colour: str, look: Look, say: Wording) -> list[alt.Chart]:
    """The model's line with its band, and its roofline."""
    axis, order = _curve_y(say), alt.Order("concurrency:Q")
    base = alt.Chart(values(lines)).encode(x=_curve_x(say))
    line = base.mark_line(color=colour, strokeWidth=2.5, point={"color": colour, "size": 30})
    used = parts.tips(("mfu:Q", "MFU", ".2f"), ("mbu:Q", "MBU", ".2f"))
    return [
        base.mark_area(opacity=0.18, color=colour).encode(**parts.upright("low:Q", "high:Q", axis=axis)),
        line.encode(y=alt.Y("throughput:Q", axis=axis), order=order, tooltip=[*_curve_tips(say), *used]),
        base.mark_line(color=look.quiet, strokeDash=[4, 3]).encode(y=alt.Y("roof:Q", axis=axis), order=order),
    ]


def _diamonds(points: list[Row], look: Look, say: Wording) -> list[alt.Chart]:
    if not points:  # an empty layer would be a picture without a text alternative
        return []
    mark = {"shape": "diamond", "size": 110, "filled": True, "color": look.labels["measured"], "opacity": 1}
    y = alt.Y("throughput:Q", axis=_curve_y(say))
    diamonds = alt.Chart(values(points)).mark_point(**mark)
    return [diamonds.encode(x=_curve_x(say), y=y, tooltip=_curve_tips(say))]


def _curve_labels(last: Row, label: str, colour: str, look: Look, say: Wording) -> list[alt.Chart]:
    """Model and roofline in words at the right end of their lines."""
    layers: list[alt.Chart] = []
    for height, words, tint in (
        (last["throughput"], say("model: {label}, band 80 %", label=say(label)), colour),
        (last["roof"], say("roofline"), look.quiet),
    ):
        place = {"at": last["tpot_ms"], "height": height, "words": words}
        mark = {"align": "right", "baseline": "bottom", "dy": -7, "color": tint, "fontWeight": 600}
        layers += parts.halo_label(place, look, alt.X("at:Q"), alt.Y("height:Q"), **mark)
    return layers


def _curve_takeaway(points: list[Row], modelled: Sequence[Estimate], say: Wording) -> str:
    if not modelled:
        return say("No figure can be given for this set-up.")
    best = max(modelled, key=lambda item: item.output_tokens_per_s_per_gpu.value)
    rate = best.output_tokens_per_s_per_gpu
    sentence = say(
        "At {c} requests in service one GPU gives {n} output tokens/s ({low} to {high} in 8 of 10 cases; {label}).",
        **say.counts(c=best.load.concurrency, n=rate.value, low=rate.low, high=rate.high),
        label=say(best.label),
    )
    if not points:
        return sentence + " " + say("Nothing was measured at these lengths on this GPU.")
    return sentence + " " + say("Diamonds are the {n} measured points.", n=len(points))
