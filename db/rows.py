"""A plan as rows: what screens and BI tools filter and sort by, beside the whole record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from db.schema import Base, GateMonthRow, MonthRow, OrderRow, PlanRow, PoolMonthRow, ReservationRow, RivalRow

if TYPE_CHECKING:
    from planner.record.models import Interval, Month, Order, PlanRecord, PoolMonth, Quantiles


def plan_rows(run_id: str, record: PlanRecord) -> list[Base]:
    """Every row of one plan, the whole record first."""
    rows: list[Base] = [_plan(run_id, record)]
    for month in record.months:
        rows.append(_month(run_id, month))
        rows.extend(_pool_month(run_id, month.month, pool) for pool in month.pools)
        rows.extend(
            GateMonthRow(run_id=run_id, month=month.month, gate=gate, state=state, share=share)
            for gate, states in month.gates.items()
            for state, share in states.items()
        )
    rows.extend(_order(run_id, line, order) for line, order in enumerate(record.orders, start=1))
    rows.extend(
        ReservationRow(run_id=run_id, line=line, **reservation.model_dump())
        for line, reservation in enumerate(record.reservations, start=1)
    )
    rows.extend(_rivals(run_id, record))
    return rows


def _body(record: PlanRecord) -> dict[str, Any]:
    """The record as JSON data. JSON has no infinity, and null in its place could not be read back."""
    endless = list(_not_finite(record.model_dump(), ""))
    if endless:
        raise ValueError(f"the plan's record holds figures that are no numbers: {', '.join(endless[:5])}")
    return record.model_dump(mode="json")


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """Places of NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place.removeprefix('.')} = {value}"
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _not_finite(part, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{place}.{number}")


def _quantiles(name: str, quantiles: Quantiles) -> dict[str, float]:
    return {f"{name}_p10": quantiles.p10, f"{name}_p50": quantiles.p50, f"{name}_p90": quantiles.p90}


def _interval(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _plan(run_id: str, record: PlanRecord) -> PlanRow:
    answer, kpis = record.answer, record.kpis
    return PlanRow(
        run_id=run_id,
        record=_body(record),
        schema_version=record.schema_version,
        currency=record.scenario.currency,
        **answer.model_dump(include={"sentence", "feasible", "goal", "weakest_month", "next_order_by"}),
        **kpis.model_dump(include={"committed", "at_risk", "gpus_ordered"}),
        **_interval("probability", answer.probability),
        **_interval("mean_cost", kpis.mean_cost),
        **_quantiles("cost", kpis.expected_cost),
    )


def _month(run_id: str, month: Month) -> MonthRow:
    return MonthRow(
        run_id=run_id,
        **month.model_dump(include={"month", "start", "required"}),
        **_interval("probability", month.probability),
        **_quantiles("spend", month.spend),
    )


def _pool_month(run_id: str, month: str, pool: PoolMonth) -> PoolMonthRow:
    return PoolMonthRow(
        run_id=run_id,
        month=month,
        pool=pool.pool,
        unit=pool.unit,
        reserved=pool.reserved_gpus,
        **_quantiles("need", pool.need_gpus),
        **_quantiles("in_service", pool.in_service_gpus),
        **_quantiles("spot", pool.spot_gpus),
        **_quantiles("unmet", pool.unmet_gpus),
        **_interval("probability", pool.probability),
    )


def _order(run_id: str, line: int, order: Order) -> OrderRow:
    return OrderRow(
        run_id=run_id,
        line=line,
        arrives_p10=order.arrives.p10,
        arrives_p50=order.arrives.p50,
        arrives_p90=order.arrives.p90,
        probability_without=order.probability_without.value,
        cost_without=order.cost_without.value,
        **order.model_dump(exclude={"arrives", "probability_without", "cost_without", "probability_with", "accepted"}),
    )


def _rivals(run_id: str, record: PlanRecord) -> list[RivalRow]:
    from planner.report.sentences import POLICIES

    copied = {"name", "weakest_month", "shortfall_share", "worst_tenth_shortfall", "gpus_ordered"}
    return [
        RivalRow(
            run_id=run_id,
            meaning=POLICIES[rival.name][1],
            mean_cost=rival.mean_cost.value,
            **rival.model_dump(include=copied),
            **_interval("cost_difference", rival.cost_difference),
            **_interval("probability", rival.probability),
        )
        for rival in record.rivals
    ]
