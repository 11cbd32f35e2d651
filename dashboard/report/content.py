"""What the report says, from a plan's record: paragraphs, figures, tables. No clock, no layout."""

import datetime as dt
from collections.abc import Sequence

from dashboard.charts import ahead, fleet, gates, money, rivals, serving, supply
from dashboard.charts.figure import Figure
from dashboard.charts.theme import LIGHT
from dashboard.report import analysis_tables as analysis
from dashboard.report.basis import assumptions, reproduction, sources
from dashboard.report.parts import Column, Drawing, Fact, ReportData, Section, Table, each_text, number, tabled, text
from planner.compare.rows import Row
from planner.record.models import Dates, Month, Order, PlanRecord, PoolMonth, Quantiles
from planner.report import sentences
from planner.report.language import ENGLISH, Wording, displayable
from planner.report.sentences import RentalSpan, rental_spans
from planner.report.study_sentences import calendar_sentence, limit_sentences, worth_sentences

_WIDTH = 660
"""Width in pixels for which the charts are drawn; page and paper scale them."""
_LINES_ON_A_PAGE = 14
"""Orders in one drawing of the calendar: a drawing cannot be broken over pages."""
_FAN = 250
"""Height of the fan chart in pixels: two stand on a page, one beside the month strip on the cover."""


def report_data(record: PlanRecord, language: str = "en", changed: Sequence[str] = ()) -> ReportData:
    """The report of a plan. ``changed``: what moved since the run before, a sentence each."""
    say, scenario = Wording(language), record.scenario
    start, months = say.day(scenario.start), scenario.horizon_months
    data = ReportData(
        language=language,
        title=scenario.title or scenario.name,
        subtitle=scenario.description,
        eyebrow=say("Waferlag plan: scenario {name}, as of {day}, {n} months", name=scenario.name, day=start, n=months),
        answer=sentences.answer(record, say),
        met=record.answer.feasible,
        waiting=sentences.waiting(record, say),
        rests_title=say("What this rests on"),
        rests_on=sentences.rests_on(record, say),
        facts=headline_facts(record, say),
        labels={say(label): colour for label, colour in LIGHT.labels.items()},
        sections=_sections(record, changed, say),
        footer=say("Waferlag {version}, scenario {name}", version=record.versions.waferlag, name=scenario.name),
    )
    return ReportData.model_validate(each_text(data.model_dump(), displayable))


def _sections(record: PlanRecord, changed: Sequence[str], say: Wording) -> list[Section]:
    return [
        _odds(record, say),
        _orders(record, say),
        _money(record, say),
        _supply(record, say),
        _serving(record, say),
        _rivals(record, say),
        Section(title=say("Why this plan"), points=sentences.reasons(record, say)),
        *_worth(record, say),
        *([Section(title=say("What changed since the run before"), points=list(changed))] if changed else []),
        assumptions(record, say),
        sources(record, say),
        reproduction(record, say),
    ]


def headline_facts(record: PlanRecord, say: Wording = ENGLISH) -> list[Fact]:
    """The four figures on top of the answer: date, odds, cost, risk."""
    answer, kpis, currency = record.answer, record.kpis, record.scenario.currency
    odds, cost = answer.probability, kpis.expected_cost
    next_order = say("nothing to order") if answer.next_order_by is None else say.day(answer.next_order_by)
    interval = {"range": say.percent_range(odds.low, odds.high), "level": say.percent(odds.level)}
    spread = say.moneys(currency, low=cost.p10, high=cost.p90)
    prepaid = say.moneys(currency, all=kpis.committed)
    return [
        Fact(
            label=say("next order by"),
            value=next_order,
            note=say("last date that keeps the goal of {goal}", goal=say.percent(answer.goal)),
        ),
        Fact(
            label=say("weakest month, {month}", month=say.month(answer.weakest_month)),
            value=say.percent(odds.value),
            note=say("probability that demand is met; {range} ({level} interval)", **interval),
        ),
        Fact(
            label=say("expected cost"),
            value=say.money(kpis.mean_cost.value, currency),
            note=say("{low} to {high} in 8 of 10 futures", **spread),
        ),
        Fact(
            label=say("at risk if every gate closes"),
            value=say.money(kpis.at_risk, currency),
            note=say("paid and not refunded, mean of the worst month; prepayments {all}", **prepaid),
        ),
    ]


def _drawings(*figures: Figure) -> list[Drawing]:
    return [Drawing(caption=figure.takeaway, svg=figure.svg(_WIDTH)) for figure in figures]


def _range(quantiles: Quantiles, say: Wording) -> str:
    return f"{say.count(quantiles.p50)} ({say.count(quantiles.p10)}–{say.count(quantiles.p90)})"


def _odds(record: PlanRecord, say: Wording) -> Section:
    pools = [pool.name for pool in record.scenario.pools]
    fans = [fleet.fleet_fan(record, pool, say=say, height=_FAN) for pool in pools]
    level = say.percent(record.answer.probability.level)
    rows = [
        _pool_row(month, part, level, say, first=index == 0)
        for month in record.months
        for index, part in enumerate(month.pools)
    ]
    return Section(
        title=say("The odds"),
        drawings=_drawings(fleet.month_strip(record, say=say), *fans),
        tables=tabled(say("Month by month"), rows),
    )


def _pool_row(month: Month, part: PoolMonth, level: str, say: Wording, first: bool) -> dict[Column, str]:
    odds = say.odds(month.probability) if first else ""
    return {
        text(say("month")): say.month(month.month) if first else "",
        number(say("all demand met ({level} interval)", level=level)): odds,
        text(say("pool")): part.pool,
        number(say("GPUs needed, P50 (P10–P90)")): _range(part.need_gpus, say),
        number(say("in service, P50 (P10–P90)")): _range(part.in_service_gpus, say),
        number(say("reserved")): say.count(part.reserved_gpus),
        number(say("spot, P50")): say.count(part.spot_gpus.p50),
        number(say("unmet, P90")): say.count(part.unmet_gpus.p90),
    }


def _dates(dates: Dates, say: Wording) -> str:
    return f"{say.day(dates.p50)} ({say.day(dates.p10)} – {say.day(dates.p90)})"


def _orders(record: PlanRecord, say: Wording) -> Section:
    placed = [order for order in record.orders if order.gpus > 0]
    cuts = [slice(at, at + _LINES_ON_A_PAGE) for at in range(0, len(placed), _LINES_ON_A_PAGE)]
    figures = [supply.order_calendar(record, say=say, lines=cut) for cut in cuts]
    if record.later:
        figures.append(ahead.later_orders(record, say=say))
    calendar = tabled(say("Order calendar"), [_order_row(order, record, say) for order in placed])
    return Section(
        title=say("Orders"),
        drawings=_drawings(*figures),
        paragraphs=_order_paragraphs(record, bool(placed), say),
        tables=[*calendar, *_reservations(record, say), *_ahead(record, say)],
        points=[_order_point(order, record, say) for order in placed],
    )


def _order_row(order: Order, record: PlanRecord, say: Wording) -> dict[Column, str]:
    currency, last = record.scenario.currency, order.last_safe
    return {
        text(say("order on")): say.day(order.order_on),
        text(say("what")): _what(order, say),
        text(say("pool")): order.pool,
        text(say("last safe date")): say("not needed for the goal") if last is None else say.day(last),
        text(say("serves, P50 (P10 – P90)")): _dates(order.arrives, say),
        number(say("within the horizon")): say.percent(order.arrives_within_horizon),
        number(say("price")): say.money(order.price, currency),
        number(say("prepayment")): say.money(order.prepayment, currency),
    }


def _what(of: Order | RentalSpan, say: Wording) -> str:
    return say("{gpus} {sku} from {source}", gpus=of.gpus, sku=of.sku, source=of.source)


def _order_point(order: Order, record: PlanRecord, say: Wording) -> str:
    day, why = say.day(order.order_on), sentences.why(order, record, say)
    return say("{gpus} {sku} on {day}: {why}", gpus=order.gpus, sku=order.sku, day=day, why=why)


def _order_paragraphs(record: PlanRecord, placed: bool, say: Wording) -> list[str]:
    """That nothing is ordered, when to plan again, and what the calendar costs; each only where it is so."""
    idle = say("The plan orders nothing now.") if record.later else say("The plan orders nothing.")
    told = [None if placed else idle, sentences.plan_again(record, say)]
    if record.calendar is not None:
        told.append(calendar_sentence(record, record.calendar, say))
    return [each for each in told if each is not None]


def _ahead(record: PlanRecord, say: Wording) -> list[Table]:
    """Orders that are not settled today."""
    title, rows = say(analysis.later_title(record)), analysis.later_rows(record, say)
    tables = _titled(title, rows, analysis.LATER_TITLES, say)
    if record.calendar is not None:
        title = say(analysis.calendar_title(record, record.calendar))
        tables += _titled(title, analysis.calendar_rows(record, say), analysis.CALENDAR_TITLES, say)
    return tables


def _titled(caption: str, rows: Sequence[Row], titles: dict[str, str], say: Wording) -> list[Table]:
    """A table from rows and headings by key; amounts stand right."""
    heads = {key: (text if key in _TEXTS else number)(say(title)) for key, title in titles.items()}
    return tabled(caption, [{head: _cell(row[key], say) for key, head in heads.items()} for row in rows])


_TEXTS = ("name", "rule", "month", "order_on", "if", "sku", "source", "pool", "quarter")


def _cell(value: object, say: Wording) -> str:
    return say.day(value) if isinstance(value, dt.date) else str(value)


def _worth(record: PlanRecord, say: Wording) -> list[Section]:
    """What knowing more, other goals and looser limits are worth; nothing for a plan without its studies."""
    figures = [ahead.frontier(record, say=say)] if record.frontier else []
    figures += [ahead.swings(record, say=say)] if record.tornado else []
    points = [*worth_sentences(record, say), *limit_sentences(record, say)]
    if not figures and not points:
        return []
    return [Section(title=say("What knowing more would be worth"), drawings=_drawings(*figures), points=points)]


def _reservations(record: PlanRecord, say: Wording) -> list[Table]:
    rows = [
        {
            text(say("months")): " – ".join(dict.fromkeys((say.month(span.first), say.month(span.last)))),
            text(say("what")): _what(span, say),
            text(say("pool")): span.pool,
            text(say("reserve by")): say.day(span.reserve_by),
            number(say("price")): say.money(span.price, record.scenario.currency),
        }
        for span in rental_spans(record)
    ]
    return tabled(say("Reserved rental"), rows)


def _money(record: PlanRecord, say: Wording) -> Section:
    currency, kpis = record.scenario.currency, record.kpis
    mean = kpis.mean_cost
    paragraphs = [
        say(
            "Mean cost {mean} ({level} interval of the mean {low} to {high}), discounted over the horizon.",
            level=say.percent(mean.level),
            **say.moneys(currency, mean=mean.value, low=mean.low, high=mean.high),
        ),
        sentences.waiting(record, say),
    ]
    if kpis.cost_per_million_tokens is not None:
        cost = say.money(kpis.cost_per_million_tokens, currency)
        paragraphs.append(say("Mean discounted cost per million tokens served: {cost}.", cost=cost))
    by_quarter = money.cash_by_quarter if record.quarters else money.spend_by_month
    return Section(
        title=say("Money"),
        paragraphs=paragraphs,
        drawings=_drawings(money.cost_parts(record, say=say), by_quarter(record, say=say)),
        tables=_quarters(record, say),
    )


def _quarters(record: PlanRecord, say: Wording) -> list[Table]:
    """Cash by quarter; a plan without its studies has the sums of its months alone."""
    caption, currency = say("By calendar quarter"), record.scenario.currency
    if record.quarters:
        return _titled(caption, analysis.quarter_rows(record, say), analysis.quarter_titles(record), say)
    rows = [
        {
            text(say("quarter")): row["quarter"],
            number(say("orders placed")): say.money(row["ordered"], currency),
            number(say("prepayments due")): say.money(row["prepayments"], currency),
            number(say("rental reserved")): say.money(row["reserved_rental"], currency),
            number(say("spending, sum of monthly medians")): say.money(row["spend_p50"], currency),
        }
        for row in money.quarters(record)
    ]
    return tabled(caption, rows)


def _supply(record: PlanRecord, say: Wording) -> Section:
    figures = [gates.gate_shares(record, gate, say=say) for gate in record.months[0].gates]
    if record.lead_times:
        figures.append(supply.lead_times(record, say=say))
    none = say("No gate stands between an order and its delivery in this scenario.")
    return Section(
        title=say("Supply risk"),
        paragraphs=[] if record.months[0].gates else [none],
        drawings=_drawings(*figures),
        tables=[*_gate_odds(record, say), *_lead_times(record, say)],
    )


def _lead_times(record: PlanRecord, say: Wording) -> list[Table]:
    rows = [
        {
            text(say("source")): lead.source,
            text(say("entry point")): say(lead.entry),
            number(say("order to service, P50 (P10–P90)")): say("{range} days", range=_range(lead.days, say)),
            number(say("within the horizon")): say.percent(lead.arrives_within_horizon),
            text(say("19 of 20 futures: not before")): say.day(lead.promised_not_before),
        }
        for lead in record.lead_times
    ]
    return tabled(say("Lead time of an order on the first day"), rows)


def _gate_odds(record: PlanRecord, say: Wording) -> list[Table]:
    """What each gate does to an order of the first day."""
    rows = [
        {
            text(say("gate")): odds.gate,
            text(say("state at the start")): say(odds.state),
            number(say("closed at some time within 90 days")): say.percent(odds.closes_within_90_days),
            number(say("an order of the first day serves")): say.odds(odds.arrives),
            number(say("the same with this gate always open")): say.odds(odds.arrives_if_open),
        }
        for odds in record.gate_odds
    ]
    return tabled(say("What each gate does"), rows)


def _serving(record: PlanRecord, say: Wording) -> Section:
    shown, level = serving.serving_table(record), say.percent(serving.serving_level(record))
    rows = [_serving_row(row, level, say) for row in shown]
    why = [row["reason"] for row in shown]
    return Section(
        title=say("Serving figures"),
        drawings=_drawings(serving.goodput_by_pool(record, say=say)) if record.sizing else [],
        tables=tabled(say("What one replica serves at the SLO"), rows),
        points=[f"{row['pool']}, {row['gpu']}: {told}" for row, told in zip(shown, why, strict=True)],
    )


def _serving_row(row: Row, level: str, say: Wording) -> dict[Column, str]:
    def known(shape: str, *names: str) -> str:
        return shape.format(**row) if all(row[name] for name in names) else "–"

    rate = "–" if row["requests_per_s"] is None else "{requests_per_s:.2f} ({low:.2f}–{high:.2f})".format(**row)
    return {
        text(say("pool")): row["pool"],
        text(say("GPU and layout")): f"{row['gpu']}, {row['layout']}",
        text(say("model and engine")): f"{row['model']} {row['precision']} {row['engine']}",
        number(say("requests/s per replica ({level} interval)", level=level)): rate,
        number(say("TTFT / TPOT, ms")): known("{ttft_ms:,.0f} / {tpot_ms:.1f}", "ttft_ms", "tpot_ms"),
        number(say("MFU / MBU")): known("{mfu:.2f} / {mbu:.2f}", "mfu", "mbu"),
        Column(title=say("label"), kind="label"): say(row["label"]) if row["label"] else say("does not fit"),
    }


def _rivals(record: PlanRecord, say: Wording) -> Section:
    weakest = say("weakest month ({level} interval)", level=say.percent(record.answer.probability.level))
    titles = {
        "name": "way to act",
        "rule": "rule",
        "weakest": weakest,
        "cost": "mean cost",
        "difference": "against this plan",
        "unmet": "demand unmet",
        "worst": "unmet, worst tenth",
        "gpus": "GPUs ordered",
    }
    rows = analysis.rival_cells(record, say)
    for row in rows:
        row["weakest"] = f"{row['weakest']}, {row['month']}"
        if row["verdict"]:
            row["difference"] = say("{change}: {verdict}", change=row["difference"], verdict=row["verdict"])
    return Section(
        title=say("Other ways to act, on the same futures"),
        drawings=_drawings(rivals.rivals_compared(record, say=say)) if record.rivals else [],
        tables=_titled(say("All ways to act"), rows, titles, say),
    )
