"""What a replica serves, with the label and the interval of every figure."""

import altair as alt

from dashboard.charts.figure import Figure, Row, finished, values
from dashboard.look import LIGHT, Look
from dashboard.wording import ENGLISH, Wording, shortened
from planner.record import PlanRecord


def serving_table(record: PlanRecord) -> list[Row]:
    """One row per pool and kind of GPU, full digits; None where there is no figure."""
    rows = []
    for item in record.sizing:
        rate = item.requests_per_s
        rows.append(
            {
                "pool": item.pool,
                "gpu": item.sku,
                "model": item.model,
                "precision": item.precision,
                "engine": item.engine,
                "layout": " ".join(f"{key}{size}" for key, size in item.layout.items()),
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
    axis = alt.Axis(title=say("requests a second per GPU at the SLO, with the 80 % interval"), grid=True)
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("line:N", sort=None, axis=None), color=alt.Color("colour:N", scale=None)
    )
    zero = alt.Scale(domainMin=0)
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.5, yOffset=9).encode(
            x=alt.X("low:Q", axis=axis, scale=zero), x2="high:Q"
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
            x=alt.value(0), text="words:N", color=alt.value(look.ink)
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
