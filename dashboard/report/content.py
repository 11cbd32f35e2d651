"""What the report says, from a plan's record: paragraphs, figures, tables. No clock, no layout."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dashboard import charts
from dashboard.charts.money import quarters
from dashboard.charts.rivals import rival_rows
from dashboard.report.analysis_tables import (
    CALENDAR_TITLES,
    LATER_TITLES,
    calendar_rows,
    calendar_title,
    later_rows,
    later_title,
    quarter_rows,
    quarter_titles,
)
from dashboard.report.basis import assumptions, reproduction, sources
from dashboard.report.parts import Column, Drawing, Fact, ReportData, Section, Table
from dashboard.wording import ENGLISH, Wording, displayable
from planner.record.models import Dates, PlanRecord, Quantiles
from planner.report import sentences
from planner.report.study_sentences import calendar_sentence, limit_sentences, worth_sentences

_WIDTH = 660
"""Width in pixels for which the charts are drawn; page and paper scale them."""


_LINES_ON_A_PAGE = 14
"""Orders in one drawing of the calendar: a drawing cannot be broken over pages."""
_FAN = 250
"""Height of the fan chart in pixels: two stand on a page, one beside the month strip on the cover."""


def report_data(record: PlanRecord, language: str = "en", changed: Sequence[str] = ()) -> ReportData:
    """The report of a plan. ``changed``: what moved since the run before, a sentence each."""
    say = Wording(language)
    scenario, answer = record.scenario, record.answer
    sections = [
        _odds(record, say),
        _orders(record, say),
        _money(record, say),
        _supply(record, say),
        _serving(record, say),
        _rivals(record, say),
        _why(record, say),
        *_worth(record, say),
        *([Section(title=say("What changed since the run before"), points=list(changed))] if changed else []),
        assumptions(record, say),
        sources(record, say),
        reproduction(record, say),
    ]
    data = ReportData(
        language=language,
        title=scenario.title or scenario.name,
        subtitle=scenario.description,
        eyebrow=say(
            "Waferlag plan: scenario {name}, as of {day}, {n} months",
            name=scenario.name,
            day=say.day(scenario.start),
            n=scenario.horizon_months,
        ),
        answer=sentences.answer(record, say),
        met=answer.feasible,
        waiting=sentences.waiting(record, say),
        rests_title=say("What this rests on"),
        rests_on=sentences.rests_on(record, say),
        facts=headline_facts(record, say),
        labels=_label_colours(say),
        sections=sections,
        footer=say(
            "Waferlag {version}, scenario {name}", version=record.versions.waferlag, name=scenario.name
        ),
    )
    return ReportData.model_validate(_displayable(data.model_dump()))


def _displayable(value: object) -> object:
    """Every text of a nested document made fit for a page; drawings are left as they are."""
    if isinstance(value, str):
        return displayable(value)
    if isinstance(value, list):
        return [_displayable(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "svg" else _displayable(item) for key, item in value.items()}
    return value


def _label_colours(say: Wording) -> dict[str, str]:
    from dashboard.charts.theme import LIGHT

    return {say(label): colour for label, colour in LIGHT.labels.items()}


def headline_facts(record: PlanRecord, say: Wording = ENGLISH) -> list[Fact]:
    """The four figures on top of the answer: date, odds, cost, risk."""
    answer, kpis, currency = record.answer, record.kpis, record.scenario.currency
    return [
        Fact(
            label=say("next order by"),
            value=say("nothing to order") if answer.next_order_by is None else say.day(answer.next_order_by),
            note=say("last date that keeps the goal of {goal}", goal=say.percent(answer.goal)),
        ),
        Fact(
            label=say("weakest month, {month}", month=say.month(answer.weakest_month)),
            value=say.percent(answer.probability.value),
            note=say(
                "probability that demand is met; {range} ({level} interval)",
                range=say.percent_range(answer.probability.low, answer.probability.high),
                level=say.percent(answer.probability.level),
            ),
        ),
        Fact(
            label=say("expected cost"),
            value=say.money(kpis.mean_cost.value, currency),
            note=say(
                "{low} to {high} in 8 of 10 futures",
                low=say.money(kpis.expected_cost.p10, currency),
                high=say.money(kpis.expected_cost.p90, currency),
            ),
        ),
        Fact(
            label=say("at risk if every gate closes"),
            value=say.money(kpis.at_risk, currency),
            note=say(
                "paid and not refunded, mean of the worst month; prepayments {all}",
                all=say.money(kpis.committed, currency),
            ),
        ),
    ]


def _drawing(figure: charts.Figure) -> Drawing:
    return Drawing(caption=figure.takeaway, svg=figure.svg(_WIDTH))


def _pools(record: PlanRecord) -> list[str]:
    return [pool.name for pool in record.scenario.pools]


def _range(quantiles: Quantiles, say: Wording) -> str:
    return f"{say.count(quantiles.p50)} ({say.count(quantiles.p10)}–{say.count(quantiles.p90)})"


def _odds(record: PlanRecord, say: Wording) -> Section:
    level = say.percent(record.answer.probability.level)
    figures = [charts.month_strip(record, say=say)]
    figures += [charts.fleet_fan(record, pool, say=say, height=_FAN) for pool in _pools(record)]
    rows = []
    for month in record.months:
        for index, part in enumerate(month.pools):
            rows.append(
                [
                    say.month(month.month) if index == 0 else "",
                    say.odds(month.probability) if index == 0 else "",
                    part.pool,
                    _range(part.need_gpus, say),
                    _range(part.in_service_gpus, say),
                    say.count(part.reserved_gpus),
                    say.count(part.spot_gpus.p50),
                    say.count(part.unmet_gpus.p90),
                ]
            )
    columns = [
        Column(title=say("month")),
        Column(title=say("all demand met ({level} interval)", level=level), kind="number"),
        Column(title=say("pool")),
        Column(title=say("GPUs needed, P50 (P10–P90)"), kind="number"),
        Column(title=say("in service, P50 (P10–P90)"), kind="number"),
        Column(title=say("reserved"), kind="number"),
        Column(title=say("spot, P50"), kind="number"),
        Column(title=say("unmet, P90"), kind="number"),
    ]
    table = Table(caption=say("Month by month"), columns=columns, rows=rows)
    return Section(title=say("The odds"), drawings=[_drawing(figure) for figure in figures], tables=[table])


def _dates(dates: Dates, say: Wording) -> str:
    return f"{say.day(dates.p50)} ({say.day(dates.p10)} – {say.day(dates.p90)})"


def _orders(record: PlanRecord, say: Wording) -> Section:
    currency = record.scenario.currency
    placed = [order for order in record.orders if order.gpus > 0]
    rows = [
        [
            say.day(order.order_on),
            say("{gpus} {sku} from {source}", gpus=order.gpus, sku=order.sku, source=order.source),
            order.pool,
            say("not needed for the goal") if order.last_safe is None else say.day(order.last_safe),
            _dates(order.arrives, say),
            say.percent(order.arrives_within_horizon),
            say.money(order.price, currency),
            say.money(order.prepayment, currency),
        ]
        for order in placed
    ]
    columns = [
        Column(title=say("order on")),
        Column(title=say("what")),
        Column(title=say("pool")),
        Column(title=say("last safe date")),
        Column(title=say("serves, P50 (P10 – P90)")),
        Column(title=say("within the horizon"), kind="number"),
        Column(title=say("price"), kind="number"),
        Column(title=say("prepayment"), kind="number"),
    ]
    tables = [Table(caption=say("Order calendar"), columns=columns, rows=rows)] if rows else []
    if record.reservations:
        tables.append(_reservations(record, say))
    tables += _ahead(record, say)
    points = [
        say(
            "{gpus} {sku} on {day}: {why}",
            gpus=o.gpus,
            sku=o.sku,
            day=say.day(o.order_on),
            why=sentences.why(o, record, say),
        )
        for o in placed
    ]
    pages = range(0, len(placed), _LINES_ON_A_PAGE)
    drawings = [
        charts.order_calendar(record, say=say, lines=slice(at, at + _LINES_ON_A_PAGE)) for at in pages
    ]
    if record.later:
        drawings.append(charts.later_orders(record, say=say))
    paragraphs = (
        []
        if placed
        else [say("The plan orders nothing now." if record.later else "The plan orders nothing.")]
    )
    again = sentences.plan_again(record, say)
    if again is not None:
        paragraphs.append(again)
    if record.calendar is not None:
        paragraphs.append(calendar_sentence(record, record.calendar, say))
    return Section(
        title=say("Orders"),
        drawings=[_drawing(figure) for figure in drawings],
        paragraphs=paragraphs,
        tables=tables,
        points=points,
    )


def _ahead(record: PlanRecord, say: Wording) -> list[Table]:
    """Orders that are not settled today."""
    found = [(say(later_title(record)), later_rows(record, say), LATER_TITLES)]
    if record.calendar is not None:
        title = say(calendar_title(record, record.calendar))
        found.append((title, calendar_rows(record, say), CALENDAR_TITLES))
    return [_titled(caption, rows, titles, say) for caption, rows, titles in found if rows]


def _titled(caption: str, rows: Sequence[dict[str, Any]], titles: dict[str, str], say: Wording) -> Table:
    """A table from rows and headings by key; amounts stand right."""
    columns = [
        Column(title=say(title), kind="text" if key in _TEXTS else "number") for key, title in titles.items()
    ]
    cells = [[_cell(row[key], say) for key in titles] for row in rows]
    return Table(caption=caption, columns=columns, rows=cells)


_TEXTS = ("month", "order_on", "if", "sku", "source", "pool", "quarter")


def _cell(value: object, say: Wording) -> str:
    return say.day(value) if isinstance(value, dt.date) else str(value)


def _worth(record: PlanRecord, say: Wording) -> list[Section]:
    """What knowing more, other goals and looser limits are worth; nothing for a plan without its studies."""
    drawings = [charts.frontier(record, say=say)] if record.frontier else []
    drawings += [charts.swings(record, say=say)] if record.tornado else []
    points = [*worth_sentences(record, say), *limit_sentences(record, say)]
    if not drawings and not points:
        return []
    return [
        Section(
            title=say("What knowing more would be worth"),
            drawings=[_drawing(figure) for figure in drawings],
            points=points,
        )
    ]


def _reservations(record: PlanRecord, say: Wording) -> Table:
    currency = record.scenario.currency
    rows = [
        [
            say.month(span.first)
            if span.first == span.last
            else f"{say.month(span.first)} – {say.month(span.last)}",
            say("{gpus} {sku} from {source}", gpus=span.gpus, sku=span.sku, source=span.source),
            span.pool,
            say.day(span.reserve_by),
            say.money(span.price, currency),
        ]
        for span in sentences.rental_spans(record)
    ]
    columns = [
        Column(title=say("months")),
        Column(title=say("what")),
        Column(title=say("pool")),
        Column(title=say("reserve by")),
        Column(title=say("price"), kind="number"),
    ]
    return Table(caption=say("Reserved rental"), columns=columns, rows=rows)


def _money(record: PlanRecord, say: Wording) -> Section:
    currency = record.scenario.currency
    rows = [
        [
            row["quarter"],
            say.money(row["ordered"], currency),
            say.money(row["prepayments"], currency),
            say.money(row["reserved_rental"], currency),
            say.money(row["spend_p50"], currency),
        ]
        for row in quarters(record)
    ]
    columns = [
        Column(title=say("quarter")),
        Column(title=say("orders placed"), kind="number"),
        Column(title=say("prepayments due"), kind="number"),
        Column(title=say("rental reserved"), kind="number"),
        Column(title=say("spending, sum of monthly medians"), kind="number"),
    ]
    kpis = record.kpis
    paragraphs = [
        say(
            "Mean cost {mean} ({level} interval of the mean {low} to {high}), discounted over the horizon.",
            level=say.percent(kpis.mean_cost.level),
            mean=say.money(kpis.mean_cost.value, currency),
            low=say.money(kpis.mean_cost.low, currency),
            high=say.money(kpis.mean_cost.high, currency),
        ),
        sentences.waiting(record, say),
    ]
    if kpis.cost_per_million_tokens is not None:
        paragraphs.append(
            say(
                "Mean discounted cost per million tokens served: {cost}.",
                cost=say.money(kpis.cost_per_million_tokens, currency),
            )
        )
    if record.quarters:
        over_time = charts.cash_by_quarter(record, say=say)
        table = _titled(say("By calendar quarter"), quarter_rows(record, say), quarter_titles(record), say)
    else:
        over_time = charts.spend_by_month(record, say=say)
        table = Table(caption=say("By calendar quarter"), columns=columns, rows=rows)
    return Section(
        title=say("Money"),
        paragraphs=paragraphs,
        drawings=[_drawing(charts.cost_parts(record, say=say)), _drawing(over_time)],
        tables=[table],
    )


def _supply(record: PlanRecord, say: Wording) -> Section:
    gates = list(record.months[0].gates)
    drawings = [_drawing(charts.gate_shares(record, gate, say=say)) for gate in gates]
    if record.lead_times:
        drawings.append(_drawing(charts.lead_times(record, say=say)))
    rows = [
        [
            lead.source,
            say(lead.entry),
            say("{range} days", range=_range(lead.days, say)),
            say.percent(lead.arrives_within_horizon),
            say.day(lead.promised_not_before),
        ]
        for lead in record.lead_times
    ]
    columns = [
        Column(title=say("source")),
        Column(title=say("entry point")),
        Column(title=say("order to service, P50 (P10–P90)"), kind="number"),
        Column(title=say("within the horizon"), kind="number"),
        Column(title=say("19 of 20 futures: not before")),
    ]
    table = Table(caption=say("Lead time of an order on the first day"), columns=columns, rows=rows)
    return Section(
        title=say("Supply risk"),
        paragraphs=[]
        if gates
        else [say("No gate stands between an order and its delivery in this scenario.")],
        drawings=drawings,
        tables=[*_gate_odds(record, say), *([table] if rows else [])],
    )


def _gate_odds(record: PlanRecord, say: Wording) -> list[Table]:
    """What each gate does to an order of the first day."""
    rows = [
        [
            odds.gate,
            say(odds.state),
            say.percent(odds.closes_within_90_days),
            say.odds(odds.arrives),
            say.odds(odds.arrives_if_open),
        ]
        for odds in record.gate_odds
    ]
    columns = [
        Column(title=say("gate")),
        Column(title=say("state at the start")),
        Column(title=say("closed at some time within 90 days"), kind="number"),
        Column(title=say("an order of the first day serves"), kind="number"),
        Column(title=say("the same with this gate always open"), kind="number"),
    ]
    return [Table(caption=say("What each gate does"), columns=columns, rows=rows)] if rows else []


def _serving(record: PlanRecord, say: Wording) -> Section:
    level = say.percent(charts.serving_level(record))
    rows = []
    for row in charts.serving_table(record):
        known = row["requests_per_s"] is not None
        rows.append(
            [
                row["pool"],
                f"{row['gpu']}, {row['layout']}",
                f"{row['model']} {row['precision']} {row['engine']}",
                f"{row['requests_per_s']:.2f} ({row['low']:.2f}–{row['high']:.2f})" if known else "–",
                f"{row['ttft_ms']:,.0f} / {row['tpot_ms']:.1f}" if row["ttft_ms"] and row["tpot_ms"] else "–",
                f"{row['mfu']:.2f} / {row['mbu']:.2f}" if row["mfu"] and row["mbu"] else "–",
                say(row["label"]) if row["label"] else say("does not fit"),
            ]
        )
    columns = [
        Column(title=say("pool")),
        Column(title=say("GPU and layout")),
        Column(title=say("model and engine")),
        Column(title=say("requests/s per replica ({level} interval)", level=level), kind="number"),
        Column(title=say("TTFT / TPOT, ms"), kind="number"),
        Column(title=say("MFU / MBU"), kind="number"),
        Column(title=say("label"), kind="label"),
    ]
    points = [f"{row['pool']}, {row['gpu']}: " + row["reason"] for row in charts.serving_table(record)]
    drawings = [_drawing(charts.goodput_by_pool(record, say=say))] if record.sizing else []
    table = Table(caption=say("What one replica serves at the SLO"), columns=columns, rows=rows)
    return Section(
        title=say("Serving figures"), drawings=drawings, tables=[table] if rows else [], points=points
    )


def _rivals(record: PlanRecord, say: Wording) -> Section:
    level = say.percent(record.answer.probability.level)
    currency = record.scenario.currency
    rows = [
        [
            row["name"],
            row["meaning"],
            f"{say.percent(row['probability'])} ({say.percent_range(row['low'], row['high'])}), "
            + say.month(row["weakest_month"]),
            say.money(row["mean_cost"], currency),
            _beside(row, currency, say),
            say.percent(row["shortfall_share"], 1),
            "–" if row["worst_tenth_shortfall"] is None else say.percent(row["worst_tenth_shortfall"], 1),
            say.count(row["gpus_ordered"]),
        ]
        for row in rival_rows(record, say)
    ]
    columns = [
        Column(title=say("way to act")),
        Column(title=say("rule")),
        Column(title=say("weakest month ({level} interval)", level=level), kind="number"),
        Column(title=say("mean cost"), kind="number"),
        Column(title=say("against this plan"), kind="number"),
        Column(title=say("demand unmet"), kind="number"),
        Column(title=say("unmet, worst tenth"), kind="number"),
        Column(title=say("GPUs ordered"), kind="number"),
    ]
    return Section(
        title=say("Other ways to act, on the same futures"),
        drawings=[_drawing(charts.rivals_compared(record, say=say))] if record.rivals else [],
        tables=[Table(caption=say("All ways to act"), columns=columns, rows=rows)],
    )


def _beside(row: dict[str, Any], currency: str, say: Wording) -> str:
    """A rival's cost against the plan's, and what that makes it."""
    if row["ours"]:
        return "–"
    change = say.change(row["cost_difference"], currency)
    if row["verdict"] is None:
        return change
    return say("{change}: {verdict}", change=change, verdict=say(sentences.VERDICTS[row["verdict"]]))


def _why(record: PlanRecord, say: Wording) -> Section:
    return Section(title=say("Why this plan"), points=sentences.reasons(record, say))
