"""What a report's figures rest on: assumptions, sources, and how to get the same numbers again."""

from dashboard.report.parts import Column, Section, Table, number, tabled, text
from planner.record.models import PlanRecord
from planner.report.language import Wording
from planner.scenario.gates import Gate
from planner.scenario.models import Scenario
from planner.scenario.pools import Pool
from planner.scenario.sources import Purchase, Rental

_AUTHORITIES = {"us": "US export licence", "cn": "China, import side", "vendor": "the maker's production"}


def assumptions(record: PlanRecord, say: Wording) -> Section:
    """Goal, pools, sources of GPUs and gates as the scenario has them."""
    scenario = record.scenario
    goal, costs = scenario.goal, scenario.costs
    told = say(
        "Goal: demand of every pool met with a probability of {goal} in each month from month {n} on. "
        "Unmet demand is priced at {unmet} per GPU and hour. Discount rate {rate} a year; useful life "
        "{life} months.",
        goal=say.percent(goal.probability),
        n=goal.from_month,
        unmet=say.money(scenario.in_currency(goal.unmet_price_per_gpu_hour), scenario.currency),
        rate=say.percent(costs.discount_per_year),
        life=costs.useful_life_months,
    )
    tables = [
        *tabled(say("Pools"), [_pool(pool, say) for pool in scenario.pools]),
        *tabled(say("Sources of GPUs"), [_source(source, scenario, say) for source in scenario.sources]),
        *tabled(say("Gates"), [_gate(gate, record, say) for gate in scenario.gates]),
    ]
    return Section(title=say("Assumptions"), paragraphs=[told], tables=tables)


def _pool(pool: Pool, say: Wording) -> dict[Column, str]:
    slo, growth = pool.slo, pool.growth
    a_month = f"{growth.low:g} / {growth.base:g} / {growth.high:g}"
    promised = f"{slo.ttft_ms:g} / {slo.tpot_ms:g} ms, {say.percent(slo.percentile)}"
    return {
        text(say("pool")): pool.name,
        text(say("model")): f"{pool.model} {pool.precision}",
        number(say("requests/s in the first month")): f"{pool.load.requests_per_second:g}",
        number(say("growth a month, P10 / P50 / P90")): a_month,
        number(say("SLO: TTFT / TPOT, share of requests")): promised,
        number(say("headroom")): say.percent(pool.headroom),
    }


def _source(source: Purchase | Rental, scenario: Scenario, say: Wording) -> dict[Column, str]:
    if isinstance(source, Purchase):
        entry, gates, price = say(source.entry), ", ".join(source.gates) or "–", source.price
        paid = {"share": say.percent(source.prepayment), "refund": say.percent(source.refund)}
        terms, cap = say("prepaid {share}, refund {refund}", **paid), source.max_gpus_per_month
    else:
        entry, gates, price = say("rental"), "–", source.price_per_gpu_hour
        terms = say("per GPU and hour, notice {n} days", n=f"{source.notice_days:g}")
        cap = source.max_gpus
    return {
        text(say("source")): source.name,
        text(say("GPU")): source.sku,
        text(say("entry point")): entry,
        text(say("gates")): gates,
        number(say("price per GPU")): say.money(scenario.in_currency(price), scenario.currency),
        text(say("terms")): terms,
        number(say("cap in GPUs")): "–" if cap is None else say.count(cap),
    }


def _gate(gate: Gate, record: PlanRecord, say: Wording) -> dict[Column, str]:
    today = record.months[0].gates.get(gate.name, {})
    state = max(today, key=lambda name: today[name]) if today else "–"
    learnt = say("learnt from the record") if gate.law is None else say("given in the scenario")
    events = "; ".join(f"{event.date:%Y-%m-%d} {say(event.state)}" for event in gate.events) or "–"
    return {
        text(say("gate")): gate.name,
        text(say("whose")): say(_AUTHORITIES[gate.authority]),
        text(say("history of")): gate.product or "–",
        text(say("state at the start")): say(state),
        text(say("law of changes")): say("always {state}", state=say(gate.always)) if gate.always else learnt,
        text(say("assumed events")): events,
    }


def sources(record: PlanRecord, say: Wording) -> Section:
    """Figures with source, date and evidence."""
    keys = ("what", "source", "date", "evidence")
    found = [{text(say(key)): item.get(key) or "–" for key in keys} for item in record.sources]
    told = {item.get("what") for item in record.sources}
    own = [
        {text(say("place in the scenario")): place, text(say("source")): source}
        for place, source in sorted(record.scenario.evidence.items())
        if place not in told
    ]
    tables = [*tabled(say("Figures and their sources"), found), *tabled(say("Figures of the scenario itself"), own)]
    return Section(title=say("Where the figures come from"), tables=tables)


def reproduction(record: PlanRecord, say: Wording) -> Section:
    """What it takes to get the same numbers again."""
    told = say(
        "The plan is a function of the scenario, the seed and the versions below: the plan's JSON "
        "holds all of them, and planning it again gives the same numbers."
    )
    return Section(
        title=say("How to reproduce this"),
        paragraphs=[told],
        tables=_inputs(record, say),
        code=["waferlag plan plan.json"],
    )


def _inputs(record: PlanRecord, say: Wording) -> list[Table]:
    run, versions = record.scenario.run, record.versions
    futures = say.counts(n=run.training_futures, m=run.replications)
    names = {"waferlag": "waferlag", "python": "Python", "numpy": "numpy", "simpy": "simpy", "highspy": "highspy"}
    inputs = {
        say("scenario"): record.scenario.name,
        say("overrides"): ", ".join(record.overrides) or say("none"),
        say("scenario hash (SHA-256)"): record.scenario_hash,
        say("seed"): str(record.seed),
        say("seeds of the samples"): ", ".join(f"{name} {root}" for name, root in record.roots.items()),
        say("futures"): say("{n} for the optimiser, {m} fresh ones for the odds shown", **futures),
        say("versions"): ", ".join(f"{name} {getattr(versions, key)}" for key, name in names.items()),
    }
    what, value = text(say("what")), text(say("value"))
    return tabled(say("Inputs of the run"), [{what: name, value: said} for name, said in inputs.items()])
