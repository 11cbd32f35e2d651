"""What the plan costs, by kind, by month and by quarter."""

import altair as alt

from dashboard.charts.figure import Figure, finished, month_cells, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording
from planner.compare.rows import Row
from planner.record.models import PlanRecord


def cost_parts(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean discounted cost by kind; a negative part, such as residual value, points left."""
    currency = record.scenario.currency
    parts = sorted(record.kpis.cost_parts.items(), key=lambda part: -part[1])
    colours = {"reserved rental": look.reserved, "spot rental": look.spot, "unmet demand": look.unmet}
    rows = [
        {
            "part": say(part),
            "amount": amount,
            "words": f"{say(part)}: {say.money(amount, currency)}",
            "colour": colours.get(part, look.in_service),
        }
        for part, amount in parts
    ]
    takeaway = say(
        "The plan costs {mean} on average ({low} to {high} in 8 of 10 futures); most of it is {part}.",
        mean=say.money(record.kpis.mean_cost.value, currency),
        low=say.money(record.kpis.expected_cost.p10, currency),
        high=say.money(record.kpis.expected_cost.p90, currency),
        part=say(parts[0][0]) if parts else say("nothing"),
    )
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("part:N", sort=None, axis=None, scale=alt.Scale(paddingInner=0.2)),
        color=alt.Color("colour:N", scale=None),
    )
    axis = alt.Axis(
        title=say("{currency}, mean over futures, discounted", currency=currency), format="~s", grid=True
    )
    layers = [
        base.mark_bar(height=10, yOffset=8).encode(
            x=alt.X("amount:Q", axis=axis), tooltip=[alt.Tooltip("words:N", title=say("kind"))]
        ),
        base.mark_text(align="left", dy=-10).encode(
            x=alt.value(0), text=alt.Text("words:N"), color=alt.value(look.ink)
        ),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(rows)) * 40)
    return Figure("cost-by-kind", takeaway, chart, [{"part": r["part"], "amount": r["amount"]} for r in rows])


def quarters(record: PlanRecord) -> list[Row]:
    """Money by calendar quarter: median of the months' spend, and what the orders commit to.

    Sums of monthly medians: a quarter's own quantiles would need the futures themselves.
    """
    rows: dict[str, Row] = {}

    def row(month: str) -> Row:
        year, number = month.split("-")
        name = f"{year} Q{(int(number) + 2) // 3}"
        return rows.setdefault(
            name,
            {"quarter": name, "ordered": 0.0, "prepayments": 0.0, "reserved_rental": 0.0, "spend_p50": 0.0},
        )

    for month in record.months:
        row(month.month)["spend_p50"] += month.spend.p50
    for order in record.orders:
        row(order.month)["ordered"] += order.price
        row(order.month)["prepayments"] += order.prepayment
    for reservation in record.reservations:
        row(reservation.month)["reserved_rental"] += reservation.price
    return [rows[name] for name in sorted(rows)]


_KINDS = ("prepayments", "balances", "licence fees", "rental", "hosting and power", "refunds")


def cash_by_quarter(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Payments by calendar quarter: the mean by kind, and the range of 8 in 10 futures of the whole."""
    currency = record.scenario.currency
    colours = (look.in_service, look.need, look.goal, look.reserved, look.spot, look.domestic)
    seen = [
        kind for kind in _KINDS if any(abs(quarter.mean.get(kind, 0.0)) > 0 for quarter in record.quarters)
    ]
    order = [quarter.quarter.replace("-", " ") for quarter in record.quarters]
    rows: list[Row] = [
        {"quarter": name, "kind": say(kind), "amount": quarter.mean.get(kind, 0.0), "rank": seen.index(kind)}
        for name, quarter in zip(order, record.quarters, strict=True)
        for kind in seen
    ]
    totals: list[Row] = [
        {"quarter": name, "p10": quarter.spend.p10, "p90": quarter.spend.p90}
        for name, quarter in zip(order, record.quarters, strict=True)
    ]
    dearest = max(record.quarters, key=lambda quarter: quarter.spend.p50)
    takeaway = say(
        "{quarter} takes most cash: {p50} at the median, {p10} to {p90} in 8 of 10 futures.",
        quarter=dearest.quarter.replace("-", " "),
        p50=say.money(dearest.spend.p50, currency),
        p10=say.money(dearest.spend.p10, currency),
        p90=say.money(dearest.spend.p90, currency),
    )
    title = say("{currency} a quarter; bars mean by kind, line P10 to P90", currency=currency)
    axis = alt.Axis(title=title, format="~s", tickCount=5)
    x = alt.X("quarter:O", sort=order, axis=alt.Axis(title=None, labelAngle=0))
    bars = (
        alt.Chart(values(rows))
        .mark_bar(opacity=0.8)
        .encode(
            x=x,
            y=alt.Y("amount:Q", axis=axis),
            color=alt.Color(
                "kind:N",
                sort=[say(kind) for kind in seen],
                scale=alt.Scale(
                    domain=[say(kind) for kind in seen],
                    range=[colours[_KINDS.index(kind)] for kind in seen],
                ),
                legend=alt.Legend(title=None, columns=3, labelLimit=180),
            ),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("quarter:N", title=say("quarter")),
                alt.Tooltip("kind:N", title=say("kind")),
                alt.Tooltip("amount:Q", title=currency, format=",.0f"),
            ],
        )
    )
    range_ = (
        alt.Chart(values(totals))
        .mark_rule(color=look.ink, strokeWidth=2)
        .encode(x=x, y=alt.Y("p10:Q", axis=axis), y2=alt.Y2("p90:Q"))
    )
    data = [{key: row[key] for key in ("quarter", "kind", "amount")} for row in rows]
    return Figure("cash-by-quarter", takeaway, finished(alt.layer(bars, range_), look, takeaway, 240), data)


def spend_by_month(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Money spent by month, undiscounted: the median, and the range of 8 in 10 futures."""
    currency = record.scenario.currency
    rows: list[Row] = [
        {"month": month.month, "p10": month.spend.p10, "p50": month.spend.p50, "p90": month.spend.p90}
        for month in record.months
    ]
    widest = max(rows, key=lambda row: row["p90"] - row["p10"])
    takeaway = say(
        "Spending is least certain in {month}: {low} to {high} in 8 of 10 futures.",
        month=say.month(widest["month"]),
        low=say.money(widest["p10"], currency),
        high=say.money(widest["p90"], currency),
    )
    title = say("{currency} a month; bar P50, line P10 to P90", currency=currency)
    axis = alt.Axis(title=title, format="~s", tickCount=5)
    tip = [alt.Tooltip("month:N", title=say("month"))] + [
        alt.Tooltip(f"{q}:Q", title=q.upper(), format=",.0f") for q in ("p10", "p50", "p90")
    ]
    base = alt.Chart(values(rows)).encode(x=month_cells([row["month"] for row in rows], say), tooltip=tip)
    layers = [
        base.mark_bar(color=look.in_service, opacity=0.55).encode(y=alt.Y("p50:Q", axis=axis)),
        base.mark_rule(color=look.in_service, strokeWidth=2.5).encode(
            y=alt.Y("p10:Q", axis=axis), y2=alt.Y2("p90:Q")
        ),
    ]
    return Figure("spend-by-month", takeaway, finished(alt.layer(*layers), look, takeaway, 220), rows)
