"""What the plan costs, by kind, by month and by quarter."""

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, month_cells, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import PlanRecord
from planner.report.language import ENGLISH, Wording


def cost_parts(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean discounted cost by kind; a negative part, such as residual value, points left."""
    currency = record.scenario.currency
    tints = {"reserved rental": look.reserved, "spot rental": look.spot, "unmet demand": look.unmet}
    rows: list[Row] = [
        {
            "part": say(part),
            "amount": amount,
            "words": f"{say(part)}: {say.money(amount, currency)}",
            "colour": tints.get(part, look.in_service),
        }
        for part, amount in sorted(record.kpis.cost_parts.items(), key=lambda part: -part[1])
    ]
    title = say("{currency}, mean over futures, discounted", currency=currency)
    x = alt.X("amount:Q", axis=alt.Axis(title=title, format="~s", grid=True))
    base = alt.Chart(values(rows)).encode(y=parts.lane("part:N"), color=parts.own_colour())
    bars = base.mark_bar(height=10, yOffset=8).encode(x=x, tooltip=parts.tips(("words:N", say("kind"))))
    layers = [bars, parts.label_above(base, look)]
    height, data = max(1, len(rows)) * 40, parts.only(rows, "part", "amount")
    return parts.figure("cost-by-kind", _cost_takeaway(record, rows, say), layers, look, height, data)


def _cost_takeaway(record: PlanRecord, rows: list[Row], say: Wording) -> str:
    mean, cost = record.kpis.mean_cost.value, record.kpis.expected_cost
    return say(
        "The plan costs {mean} on average ({low} to {high} in 8 of 10 futures); most of it is {part}.",
        **say.moneys(record.scenario.currency, mean=mean, low=cost.p10, high=cost.p90),
        part=rows[0]["part"] if rows else say("nothing"),
    )


def quarters(record: PlanRecord) -> list[Row]:
    """Money by calendar quarter: median of the months' spend, and what the orders commit to.

    Sums of monthly medians: a quarter's own quantiles would need the futures themselves.
    """
    rows: dict[str, Row] = {}

    def add(month: str, kind: str, amount: float) -> None:
        year, number = month.split("-")
        name = f"{year} Q{(int(number) + 2) // 3}"
        kinds = ("ordered", "prepayments", "reserved_rental", "spend_p50")
        rows.setdefault(name, {"quarter": name, **dict.fromkeys(kinds, 0.0)})[kind] += amount

    for month in record.months:
        add(month.month, "spend_p50", month.spend.p50)
    for order in record.orders:
        add(order.month, "ordered", order.price)
        add(order.month, "prepayments", order.prepayment)
    for reservation in record.reservations:
        add(reservation.month, "reserved_rental", reservation.price)
    return [rows[name] for name in sorted(rows)]


_KINDS = ("prepayments", "balances", "licence fees", "rental", "hosting and power", "refunds")


def cash_by_quarter(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Payments by calendar quarter: the mean by kind, and the range of 8 in 10 futures of the whole."""
    currency = record.scenario.currency
    seen = [kind for kind in _KINDS if any(abs(row.mean.get(kind, 0.0)) > 0 for row in record.quarters)]
    names = [quarter.quarter.replace("-", " ") for quarter in record.quarters]
    rows: list[Row] = [
        {"quarter": name, "kind": say(kind), "amount": quarter.mean.get(kind, 0.0), "rank": seen.index(kind)}
        for name, quarter in zip(names, record.quarters, strict=True)
        for kind in seen
    ]
    totals: list[Row] = [
        {"quarter": name, **parts.picked(quarter.spend, "p10", "p90")}
        for name, quarter in zip(names, record.quarters, strict=True)
    ]
    title = say("{currency} a quarter; bars mean by kind, line P10 to P90", currency=currency)
    axis = alt.Axis(title=title, format="~s", tickCount=5)
    x = alt.X("quarter:O", sort=names, axis=alt.Axis(title=None, labelAngle=0))
    bars = alt.Chart(values(rows)).mark_bar(opacity=0.8)
    rule = alt.Chart(values(totals)).mark_rule(color=look.ink, strokeWidth=2)
    layers = [
        _by_kind(bars, seen, currency, look, say).encode(x=x, y=alt.Y("amount:Q", axis=axis)),
        rule.encode(x=x, **parts.upright("p10:Q", "p90:Q", axis=axis)),
    ]
    data = parts.only(rows, "quarter", "kind", "amount")
    return parts.figure("cash-by-quarter", _cash_takeaway(record, say), layers, look, 240, data)


def _by_kind(bars: alt.Chart, kinds: list[str], currency: str, look: Look, say: Wording) -> alt.Chart:
    """Bars coloured by kind of payment, in the order of the kinds."""
    tints = (look.in_service, look.need, look.goal, look.reserved, look.spot, look.domestic)
    by_kind = dict(zip(_KINDS, tints, strict=True))
    names = [say(kind) for kind in kinds]
    legend = alt.Legend(title=None, columns=3, labelLimit=180)
    return bars.encode(
        color=parts.colours("kind:N", names, [by_kind[kind] for kind in kinds], legend, sort=names),
        order=alt.Order("rank:Q"),
        tooltip=parts.tips(("quarter:N", say("quarter")), ("kind:N", say("kind")), ("amount:Q", currency, ",.0f")),
    )


def _cash_takeaway(record: PlanRecord, say: Wording) -> str:
    dearest = max(record.quarters, key=lambda quarter: quarter.spend.p50)
    return say(
        "{quarter} takes most cash: {p50} at the median, {p10} to {p90} in 8 of 10 futures.",
        quarter=dearest.quarter.replace("-", " "),
        **say.moneys(record.scenario.currency, **parts.picked(dearest.spend, *parts.QUANTILES)),
    )


def spend_by_month(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Money spent by month, undiscounted: the median, and the range of 8 in 10 futures."""
    currency = record.scenario.currency
    rows = [{"month": month.month, **parts.picked(month.spend, *parts.QUANTILES)} for month in record.months]
    widest = max(rows, key=lambda row: row["p90"] - row["p10"])
    takeaway = say(
        "Spending is least certain in {month}: {low} to {high} in 8 of 10 futures.",
        month=say.month(widest["month"]),
        **say.moneys(currency, low=widest["p10"], high=widest["p90"]),
    )
    title = say("{currency} a month; bar P50, line P10 to P90", currency=currency)
    axis = alt.Axis(title=title, format="~s", tickCount=5)
    tip = [*parts.tips(("month:N", say("month"))), *parts.quantile_tips(",.0f")]
    base = alt.Chart(values(rows)).encode(x=month_cells([row["month"] for row in rows], say), tooltip=tip)
    bars = base.mark_bar(color=look.in_service, opacity=0.55)
    rule = base.mark_rule(color=look.in_service, strokeWidth=2.5)
    layers = [bars.encode(y=alt.Y("p50:Q", axis=axis)), rule.encode(**parts.upright("p10:Q", "p90:Q", axis=axis))]
    return parts.figure("spend-by-month", takeaway, layers, look, 220, rows)
