"""What a replica serves, with the label and the interval of every figure."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, finished, halo_text, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording, shortened
from executor.estimate.closed_loop import Estimate
from executor.estimate.measured_points import Case
from planner.compare.rows import Row
from planner.record.models import PlanRecord


def serving_table(record: PlanRecord) -> list[Row]:
    """One row per pool and kind of GPU, full digits; None where there is no figure."""
    rows = []
    for item in record.sizing:
        rate = item.requests_per_s
        rows.append(
            {
                "pool": item.pool,
                "gpu": item.sku,
                "model": item.model.rpartition("/")[2],
                "precision": item.precision,
                "engine": item.engine,
                "layout": layout_words(item.layout),
                "gpus_per_replica": item.gpus_per_replica,
                "fits": item.fits,
                "requests_per_s": None if rate is None else rate.value,
                "low": None if rate is None else rate.low,
                "high": None if rate is None else rate.high,
                "level": None if rate is None else rate.level,
                "gpus_per_request_per_s": item.gpus_per_request_per_s,
                "ttft_ms": item.ttft_ms,
                "tpot_ms": item.tpot_ms,
                "concurrency": item.concurrency,
                "mfu": item.mfu,
                "mbu": item.mbu,
                "label": item.label,
                "limits": item.limits,
                "reason": item.reason,
            }
        )
    return rows


def layout_words(layout: dict[str, int]) -> str:
    """A layout in short: ``tp2 pp4``; ranks of one go without saying.

    >>> layout_words({"tp": 16, "pp": 1, "attention_dp": 1})
    'tp16'
    """
    return " ".join(f"{key}{size}" for key, size in layout.items() if size > 1) or "tp1"


def serving_level(record: PlanRecord) -> float:
    """Confidence of the intervals of the serving figures."""
    return next((item.requests_per_s.level for item in record.sizing if item.requests_per_s), 0.8)


def goodput_by_pool(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Requests a second that one GPU serves at the SLO, by pool and kind of GPU, with the interval."""
    rows = []
    for row in serving_table(record):
        if row["requests_per_s"] is None:
            continue
        per_gpu = 1 / row["gpus_per_replica"]
        rows.append(
            {
                **{key: row[key] for key in ("pool", "gpu", "model", "label")},
                "value": row["requests_per_s"] * per_gpu,
                "low": row["low"] * per_gpu,
                "high": row["high"] * per_gpu,
                "line": f"{row['pool']} / {row['gpu']}",
                "words": say(
                    "{pool} on {gpu}: {label}",
                    pool=shortened(row["pool"], 20),
                    gpu=row["gpu"],
                    label=say(row["label"] or ""),
                ),
                "colour": look.labels.get(row["label"] or "", look.quiet),
            }
        )
    takeaway = _takeaway(record, say)
    level = say.percent(serving_level(record))
    title = say("requests a second per GPU at the SLO, with the {level} interval", level=level)
    axis = alt.Axis(title=title, grid=True)
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("line:N", sort=None, axis=None), color=alt.Color("colour:N", scale=None)
    )
    zero = alt.Scale(domainMin=0)
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.5, yOffset=9).encode(
            x=alt.X("low:Q", axis=axis, scale=zero), x2=alt.X2("high:Q")
        ),
        base.mark_point(filled=True, size=90, yOffset=9, opacity=1).encode(
            x=alt.X("value:Q", axis=axis, scale=zero),
            tooltip=[
                alt.Tooltip("line:N", title=say("pool and GPU")),
                alt.Tooltip("value:Q", title=say("requests/s per GPU"), format=".3f"),
                alt.Tooltip("low:Q", title=say("low"), format=".3f"),
                alt.Tooltip("high:Q", title=say("high"), format=".3f"),
                alt.Tooltip("label:N", title=say("label")),
            ],
        ),
        base.mark_text(align="left", dy=-10).encode(
            x=alt.value(0), text=alt.Text("words:N"), color=alt.value(look.ink)
        ),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(rows)) * 42)
    data = [
        {key: row[key] for key in ("pool", "gpu", "model", "label", "value", "low", "high")} for row in rows
    ]
    return Figure("goodput-per-gpu", takeaway, chart, data)


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
    rows: list[Row] = [
        {
            "what": say("measured"),
            "concurrency": case.load.concurrency,
            "tpot_ms": case.tpot_ms,
            "throughput": case.throughput_per_gpu,
        }
        for case in measured
    ]
    points = list(rows)
    lines: list[Row] = []
    for item in modelled:
        rate = item.output_tokens_per_s_per_gpu
        used = max(item.mfu, item.mbu, 1e-6)
        lines.append(
            {
                "what": say(item.label),
                "concurrency": item.load.concurrency,
                "tpot_ms": item.tpot_ms.value,
                "throughput": rate.value,
                "low": rate.low,
                "high": rate.high,
                "roof": rate.value / used,
                "mfu": item.mfu,
                "mbu": item.mbu,
            }
        )
    takeaway = _curve_takeaway(points, modelled, say)
    colour = look.labels.get(modelled[0].label, look.quiet) if modelled else look.quiet
    x = alt.X("tpot_ms:Q", axis=alt.Axis(title=say("TPOT, ms (lower is faster for the user)"), tickCount=8))
    y = alt.Axis(title=say("output tokens/s per GPU"), tickCount=6)
    tip = [
        alt.Tooltip("what:N", title=say("label")),
        alt.Tooltip("concurrency:Q", title=say("concurrency")),
        alt.Tooltip("tpot_ms:Q", title="TPOT, ms", format=".1f"),
        alt.Tooltip("throughput:Q", title=say("tokens/s per GPU"), format=",.0f"),
    ]
    curve = alt.Chart(values(lines))
    layers: list[alt.Chart] = [
        curve.mark_area(opacity=0.18, color=colour).encode(
            x=x, y=alt.Y("low:Q", axis=y), y2=alt.Y2("high:Q")
        ),
        curve.mark_line(color=colour, strokeWidth=2.5, point={"color": colour, "size": 30}).encode(
            x=x,
            y=alt.Y("throughput:Q", axis=y),
            order=alt.Order("concurrency:Q"),
            tooltip=[
                *tip,
                alt.Tooltip("mfu:Q", title="MFU", format=".2f"),
                alt.Tooltip("mbu:Q", title="MBU", format=".2f"),
            ],
        ),
        curve.mark_line(color=look.quiet, strokeDash=[4, 3]).encode(
            x=x, y=alt.Y("roof:Q", axis=y), order=alt.Order("concurrency:Q")
        ),
    ]
    if points:  # an empty layer would be a picture without a text alternative
        diamonds = alt.Chart(values(points)).mark_point(
            shape="diamond", size=110, filled=True, color=look.labels["measured"], opacity=1
        )
        layers.append(diamonds.encode(x=x, y=alt.Y("throughput:Q", axis=y), tooltip=tip))
    if lines:
        layers += _curve_labels(lines[-1], modelled[-1].label, colour, look, say)
    return Figure(
        "throughput-curve", takeaway, finished(alt.layer(*layers), look, takeaway, 320), [*rows, *lines]
    )


def _curve_labels(last: Row, label: str, colour: str, look: Look, say: Wording) -> list[alt.Chart]:
    """Model and roofline in words at the right end of their lines."""
    layers = []
    for height, words, tint in (
        (last["throughput"], say("model: {label}, band 80 %", label=say(label)), colour),
        (last["roof"], say("roofline"), look.quiet),
    ):
        data = values([{"at": last["tpot_ms"], "height": height, "words": words}])
        marks = halo_text(data, look, align="right", baseline="bottom", dy=-7, color=tint, fontWeight=600)
        layers += [
            mark.encode(x=alt.X("at:Q"), y=alt.Y("height:Q"), text=alt.Text("words:N")) for mark in marks
        ]
    return layers


def _curve_takeaway(points: list[Row], modelled: Sequence[Estimate], say: Wording) -> str:
    if not modelled:
        return say("No figure can be given for this set-up.")
    best = max(modelled, key=lambda item: item.output_tokens_per_s_per_gpu.value)
    rate = best.output_tokens_per_s_per_gpu
    sentence = say(
        "At {c} requests in service one GPU gives {n} output tokens/s ({low} to {high} in 8 of 10 cases; {label}).",
        c=say.count(best.load.concurrency),
        n=say.count(rate.value),
        low=say.count(rate.low),
        high=say.count(rate.high),
        label=say(best.label),
    )
    if not points:
        return sentence + " " + say("Nothing was measured at these lengths on this GPU.")
    return sentence + " " + say("Diamonds are the {n} measured points.", n=len(points))
