"""What a report's figures rest on: assumptions, sources, and how to get the same numbers again."""

from dashboard.report.parts import Column, Section, Table
from dashboard.wording import Wording
from planner.record.models import PlanRecord
from planner.scenario.sources import Purchase, Rental

_AUTHORITIES = {"us": "US export licence", "cn": "China, import side", "vendor": "the maker's production"}


def assumptions(record: PlanRecord, say: Wording) -> Section:
    """Goal, pools, sources of GPUs and gates as the scenario has them."""
    scenario = record.scenario
    pools = [
        [
            pool.name,
            f"{pool.model} {pool.precision}",
            f"{pool.load.requests_per_second:g}",
            f"{pool.growth.low:g} / {pool.growth.base:g} / {pool.growth.high:g}",
            f"{pool.slo.ttft_ms:g} / {pool.slo.tpot_ms:g} ms, {say.percent(pool.slo.percentile)}",
            say.percent(pool.headroom),
        ]
        for pool in scenario.pools
    ]
    pool_columns = [
        Column(title=say("pool")),
        Column(title=say("model")),
        Column(title=say("requests/s in the first month"), kind="number"),
        Column(title=say("growth a month, P10 / P50 / P90"), kind="number"),
        Column(title=say("SLO: TTFT / TPOT, share of requests"), kind="number"),
        Column(title=say("headroom"), kind="number"),
    ]
    tables = [Table(caption=say("Pools"), columns=pool_columns, rows=pools), _source_table(record, say)]
    if scenario.gates:
        tables.append(_gate_table(record, say))
    costs = scenario.costs
    paragraphs = [
        say(
            "Goal: demand of every pool met with a probability of {goal} in each month from month {n} on. "
            "Unmet demand is priced at {unmet} per GPU and hour. Discount rate {rate} a year; useful life "
            "{life} months.",
            goal=say.percent(scenario.goal.probability),
            n=scenario.goal.from_month,
            unmet=say.money(scenario.in_currency(scenario.goal.unmet_price_per_gpu_hour), scenario.currency),
            rate=say.percent(costs.discount_per_year),
            life=costs.useful_life_months,
        )
    ]
    return Section(title=say("Assumptions"), paragraphs=paragraphs, tables=tables)


def _source_table(record: PlanRecord, say: Wording) -> Table:
    scenario = record.scenario
    rows = []
    for source in scenario.sources:
        if isinstance(source, Purchase):
            price = say.money(scenario.in_currency(source.price), scenario.currency)
            terms = say(
                "prepaid {share}, refund {refund}",
                share=say.percent(source.prepayment),
                refund=say.percent(source.refund),
            )
            cap = "–" if source.max_gpus_per_month is None else say.count(source.max_gpus_per_month)
            rows.append(
                [
                    source.name,
                    source.sku,
                    say(source.entry),
                    ", ".join(source.gates) or "–",
                    price,
                    terms,
                    cap,
                ]
            )
        elif isinstance(source, Rental):
            price = say.money(scenario.in_currency(source.price_per_gpu_hour), scenario.currency)
            terms = say("per GPU and hour, notice {n} days", n=f"{source.notice_days:g}")
            rows.append(
                [source.name, source.sku, say("rental"), "–", price, terms, say.count(source.max_gpus)]
            )
    columns = [
        Column(title=say("source")),
        Column(title=say("GPU")),
        Column(title=say("entry point")),
        Column(title=say("gates")),
        Column(title=say("price per GPU"), kind="number"),
        Column(title=say("terms")),
        Column(title=say("cap in GPUs"), kind="number"),
    ]
    return Table(caption=say("Sources of GPUs"), columns=columns, rows=rows)


def _gate_table(record: PlanRecord, say: Wording) -> Table:
    rows = []
    for gate in record.scenario.gates:
        today = record.months[0].gates.get(gate.name, {})
        state = max(today, key=lambda name: today[name]) if today else "–"
        law = (
            say("always {state}", state=say(gate.always))
            if gate.always
            else say("learnt from the record")
            if gate.law is None
            else say("given in the scenario")
        )
        events = "; ".join(f"{event.date:%Y-%m-%d} {say(event.state)}" for event in gate.events) or "–"
        rows.append(
            [gate.name, say(_AUTHORITIES[gate.authority]), gate.product or "–", say(state), law, events]
        )
    columns = [
        Column(title=say("gate")),
        Column(title=say("whose")),
        Column(title=say("history of")),
        Column(title=say("state at the start")),
        Column(title=say("law of changes")),
        Column(title=say("assumed events")),
    ]
    return Table(caption=say("Gates"), columns=columns, rows=rows)


def sources(record: PlanRecord, say: Wording) -> Section:
    """Figures with source, date and evidence."""
    keys = ("what", "source", "date", "evidence")
    rows = [[item.get(key) or "–" for key in keys] for item in record.sources]
    tables = [
        Table(
            caption=say("Figures and their sources"),
            columns=[Column(title=say(key)) for key in keys],
            rows=rows,
        )
    ]
    told = {item.get("what") for item in record.sources}
    evidence = [
        [place, text] for place, text in sorted(record.scenario.evidence.items()) if place not in told
    ]
    if evidence:
        columns = [Column(title=say("place in the scenario")), Column(title=say("source"))]
        tables.append(Table(caption=say("Figures of the scenario itself"), columns=columns, rows=evidence))
    return Section(title=say("Where the figures come from"), tables=[table for table in tables if table.rows])


def reproduction(record: PlanRecord, say: Wording) -> Section:
    """What it takes to get the same numbers again."""
    versions = record.versions
    rows = [
        [say("scenario"), record.scenario.name],
        [say("overrides"), ", ".join(record.overrides) or say("none")],
        [say("scenario hash (SHA-256)"), record.scenario_hash],
        [say("seed"), str(record.seed)],
        [say("roots of luck"), ", ".join(f"{name} {root}" for name, root in record.roots.items())],
        [
            say("futures"),
            say(
                "{n} for the optimiser, {m} fresh ones for the odds shown",
                n=say.count(record.scenario.run.training_futures),
                m=say.count(record.scenario.run.replications),
            ),
        ],
        [
            say("versions"),
            f"waferlag {versions.waferlag}, Python {versions.python}, numpy {versions.numpy}, "
            f"simpy {versions.simpy}, highspy {versions.highspy}",
        ],
    ]
    columns = [Column(title=say("what")), Column(title=say("value"))]
    return Section(
        title=say("How to reproduce this"),
        paragraphs=[
            say(
                "The plan is a function of the scenario, the seed and the versions below: the plan's JSON "
                "holds all of them, and planning it again gives the same numbers."
            )
        ],
        tables=[Table(caption=say("Inputs of the run"), columns=columns, rows=rows)],
        code=["waferlag plan plan.json"],
    )
