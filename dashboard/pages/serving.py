"""Serving: what a replica delivers, how far each figure can be trusted, and how it compares."""

from collections.abc import Sequence

import streamlit as st

from dashboard.charts import serving
from dashboard.charts.serving import layout_words, setup_layout, throughput_curve
from dashboard.components import page_head, show, shown_plan, table
from dashboard.pages.profile_import import profiles
from dashboard.session import look, say
from dashboard.text import badge, plain
from executor.errors import UserMistakeError
from executor.estimate.calibration import setup_of
from executor.estimate.closed_loop import Estimate, estimate
from executor.estimate.measured_points import Case, shipped_points
from executor.steptime.workload import Load
from planner.compare.rows import Row
from planner.record.models import PlanRecord, Serving
from planner.report.language import displayable

_CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_COMPARED = (8, 64)


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Serving", run, record)
    show(serving.goodput_by_pool(record, colours, words), "goodput")
    for item in record.sizing:
        _figure(item)
    table(serving.serving_table(record), "serving", "serving-table", _TITLES)
    st.header(plain(words("Throughput against speed")))
    _explorer(record)
    st.header(plain(words("Measured profiles")))
    profiles(record)


_TITLES = {
    "pool": "pool",
    "gpu": "GPU",
    "layout": "layout",
    "label": "label",
    "requests_per_s": "requests/s per replica",
    "low": "low",
    "high": "high",
    "gpus_per_replica": "GPUs of a replica",
    "ttft_ms": "TTFT, ms",
    "tpot_ms": "TPOT, ms",
    "concurrency": "concurrency",
    "mfu": "MFU",
    "mbu": "MBU",
    "model": "model",
    "precision": "precision",
    "engine": "engine",
    "limits": "what limits it",
}


def _figure(item: Serving) -> None:
    words, rate = say(), item.requests_per_s
    name = plain(f"{item.pool}, {item.sku} {layout_words(item.layout)}: ")
    if rate is None:
        st.markdown(f"- {name} {badge(None)} {plain(item.reason)}")
        return
    shown = {"value": rate.value, "low": rate.low, "high": rate.high, "mfu": item.mfu, "mbu": item.mbu}
    figures = words(
        "{value} requests/s per replica ({low} to {high}), MFU {mfu}, MBU {mbu}",
        **{key: "–" if figure is None else f"{figure:.2f}" for key, figure in shown.items()},
    )
    st.markdown(f"- {name} {badge(item.label)} {plain(figures)}. {plain(item.reason)}")


def _explorer(record: PlanRecord) -> None:
    words = say()
    labels = [displayable(f"{item.pool}: {item.sku} {layout_words(item.layout)}") for item in record.sizing]
    first, second, third = st.columns([3, 1, 1])
    numbers = range(len(labels))
    at = first.selectbox(words("Set-up"), numbers, format_func=labels.__getitem__, key="setup")
    isl = second.number_input(words("Input tokens"), 1, 200_000, 1000, key="isl", bind="query-params")
    osl = third.number_input(words("Output tokens"), 2, 100_000, 1000, key="osl", bind="query-params")
    if at is None:
        return
    chosen = record.sizing[at]
    modelled, refusal = _modelled(chosen, isl, osl)
    if refusal is not None:
        st.warning(plain(refusal))
    if modelled:
        show(throughput_curve(_measured(chosen, isl, osl), modelled, look(), words), "curve")
        st.caption(plain(modelled[-1].reason))
        _compare(record, chosen, isl, osl)


def _modelled(
    item: Serving, isl: float, osl: float, concurrencies: Sequence[int] = _CONCURRENCIES
) -> tuple[list[Estimate], str | None]:
    """Estimates at each concurrency, and why there are none where there are none."""
    try:
        setup = setup_of(item.model, item.sku, item.precision, item.engine, setup_layout(item))
        return [estimate(setup, Load(isl, osl, concurrency)) for concurrency in concurrencies], None
    except UserMistakeError as error:
        return [], str(error)


def _measured(item: Serving, isl: float, osl: float) -> list[Case]:
    wanted = (item.model.rpartition("/")[2], item.sku, item.engine, item.precision, isl, osl)
    return [case for case in shipped_points() if _asked(case) == wanted]


def _asked(case: Case) -> tuple[str, str, str, str, float, float]:
    group, load = case.group, case.load
    model = group.model.rpartition("/")[2]
    return model, group.gpu, group.engine, group.precision, load.isl, load.osl


def _compare(record: PlanRecord, chosen: Serving, isl: float, osl: float) -> None:
    """The pool's kinds of GPU side by side, at the concurrency that each serves at the SLO."""
    pool = [item for item in record.sizing if item.pool == chosen.pool]
    rows = [_compared(figure, item) for item in pool for figure in _modelled(item, isl, osl, _COMPARED)[0]]
    st.subheader(plain(say()("The same requests on the pool's other GPUs")))
    table(rows, "compare", "compare-table")


def _compared(figure: Estimate, item: Serving) -> Row:
    words, rate = say(), figure.output_tokens_per_s_per_gpu
    return {
        words("GPU"): item.sku,
        words("layout"): layout_words(item.layout),
        words("concurrency"): figure.load.concurrency,
        "TTFT, ms": round(figure.ttft_ms.value, 1),
        "TPOT, ms": round(figure.tpot_ms.value, 2),
        words("tokens/s per GPU"): round(rate.value, 1),
        words("low"): round(rate.low, 1),
        words("high"): round(rate.high, 1),
        "MFU": round(figure.mfu, 3),
        "MBU": round(figure.mbu, 3),
        words("label"): words(figure.label),
    }


page()
