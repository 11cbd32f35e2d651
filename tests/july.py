"""A plan written by hand: July 2025, two pools, three gates, eighteen months. Its figures are invented."""

import datetime as dt
import math

from planner.record.ids import PolicyId
from planner.record.models import (
    Answer,
    BindingLimit,
    Calendar,
    Condition,
    ConditionalOrder,
    Dates,
    FrontierPoint,
    GateOdds,
    Information,
    Interval,
    Kpis,
    LaterOrder,
    LeadTime,
    MissedMonth,
    Month,
    OpenGate,
    Order,
    OwnVolume,
    PlanRecord,
    PoolMonth,
    Provenance,
    Quantiles,
    Quarter,
    Reasons,
    Relaxation,
    Reservation,
    Rival,
    Serving,
    Swing,
    SwingInput,
    Unsellable,
)
from planner.report.sentences import with_sentences
from planner.scenario.models import Scenario

START = dt.date(2025, 7, 16)
MONTHS = 18
GATES = ("US licence", "China import", "Nvidia production")
STATES = ("closed", "promised", "conditional", "open")


def scenario(title: str = "The day of the news", chat: str = "chat", coder: str = "coder") -> Scenario:
    """Two pools, H20 from three entry points, Ascend 910C, rental, three gates."""
    h20 = {"sku": "H20-96GB", "gates": list(GATES), "price": 118_000, "prepayment": 0.3, "max_gpus_per_month": 512}
    return Scenario.model_validate(
        {
            "name": "2-h20-july-2025",
            "title": title,
            "description": "The licence is assured, nobody can order yet, nine months from wafer.",
            "start": START,
            "horizon_months": MONTHS,
            "seed": 20250716,
            "currency": "CNY",
            "exchange": {"USD": 7.17},
            "pools": [
                {
                    "name": chat,
                    "model": "DeepSeek-R1",
                    "precision": "fp8",
                    "layouts": {"H20-96GB": {"tp": 16}, "Ascend-910C": {"tp": 32}},
                    "load": {"trace": "servegen-deepseek-r1", "requests_per_second": 9.0},
                    "slo": {"ttft_ms": 3000, "tpot_ms": 50},
                },
                {
                    "name": coder,
                    "model": "Qwen3-32B",
                    "layouts": {"H20-96GB": {"tp": 2}, "H100-SXM": {"tp": 2}},
                    "load": {"trace": "servegen-m-large", "requests_per_second": 14.0},
                    "slo": {"ttft_ms": 1500, "tpot_ms": 40},
                },
            ],
            "fleet": [{"sku": "H20-96GB", "pool": chat, "gpus": 192}, {"sku": "H20-96GB", "pool": coder, "gpus": 64}],
            "sources": [
                {"name": "H20 finished stock", "entry": "finished-stock", **h20},
                {"name": "H20 part-finished", "entry": "part-finished", **h20},
                {"name": "H20 new wafers", "entry": "new-wafers", **h20},
                {"name": "Ascend 910C", "sku": "Ascend-910C", "entry": "domestic", "price": 150_000},
                {
                    "name": "Cloud H100",
                    "kind": "rental",
                    "sku": "H100-SXM",
                    "price_per_gpu_hour": 14.5,
                    "max_gpus": 128,
                    "max_spot_gpus": 96,
                },
            ],
            "gates": [
                {"name": "US licence", "authority": "us", "product": "H20"},
                {"name": "China import", "authority": "cn", "product": "H20"},
                {"name": "Nvidia production", "authority": "vendor", "product": "H20"},
            ],
            "goal": {"probability": 0.9, "from_month": 4, "unmet_price_per_gpu_hour": 60},
            "evidence": {
                "sources.H20 finished stock.price": "Tencent Technology via Airstar, Dec 2025 [reported]",
                "pools.chat.load.requests_per_second": "assumption of the sample",
            },
        }
    )


def first_of(index: int) -> dt.date:
    """First day of the plan's month ``index``; month 0 begins on the start day."""
    year, month = divmod(START.year * 12 + START.month - 1 + index, 12)
    return START if index == 0 else dt.date(year, month + 1, 1)


def gate_shares(index: int) -> dict[str, dict[str, float]]:
    """Shares that start in one state and spread."""
    spread = 1 - math.exp(-index / 8)
    rows = {
        "US licence": (0.12 * spread, 1 - 0.92 * spread, 0.55 * spread, 0.25 * spread),
        "China import": (0.42 * spread, 0.08 * spread, 0.3 * spread, 1 - 0.8 * spread),
        "Nvidia production": (0.2 * spread, 1 - 0.9 * spread, 0.3 * spread, 0.4 * spread),
    }
    return {gate: dict(zip(STATES, row, strict=True)) for gate, row in rows.items()}


def near(value: float, half: float) -> Interval:
    """An interval around a share, kept between 0 and 1."""
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half), level=0.95)


def pool_month(pool: str, index: int, unit: str, first_need: float, bought: list[float]) -> PoolMonth:
    """Need grows and fans out; what is bought arrives over several months."""
    need = first_need * 1.07**index
    probability = min(0.985, 0.995 - 0.07 * math.exp(-(((index - 10) / 3.0) ** 2)))
    return PoolMonth(
        pool=pool,
        unit=unit,
        need_gpus=Quantiles(p10=need * (1 - 0.012 * index), p50=need, p90=need * (1 + 0.022 * index)),
        in_service_gpus=Quantiles(p10=bought[index] * 0.82, p50=bought[index], p90=bought[index] * 1.04),
        reserved_gpus=16 if 3 <= index < 9 else 0,
        spot_gpus=Quantiles(p10=0, p50=4 if index > 5 else 0, p90=18 if index > 3 else 0),
        unmet_gpus=Quantiles(p10=0, p50=0, p90=3 if index in (9, 10, 11) else 0),
        probability=near(probability, 0.02),
    )


def months(chat: str, coder: str) -> list[Month]:
    """Eighteen months."""
    growing = [float(192 + 16 * max(0, index - 2) + (120 if index > 9 else 0)) for index in range(MONTHS)]
    small = [float(64 + 6 * max(0, index - 3)) for index in range(MONTHS)]
    rows = []
    for index in range(MONTHS):
        day = first_of(index)
        pools = [pool_month(chat, index, "H20-96GB", 150, growing), pool_month(coder, index, "H20-96GB", 52, small)]
        spend = 3.1e6 + 2.4e6 * (index % 4 == 0) + 1.1e6 * (index == 9)
        rows.append(
            Month(
                month=f"{day:%Y-%m}",
                start=day,
                probability=near(min(pool.probability.value for pool in pools) - 0.012, 0.021),
                required=index >= 3,
                pools=pools,
                gates=gate_shares(index),
                spend=Quantiles(p10=spend * 0.7, p50=spend, p90=spend * 1.5),
            )
        )
    return rows


def order(pool: str, source: str, index: int, gpus: int, arrives: tuple[int, int, int | None]) -> Order:
    """One order; ``arrives`` counts days after the order, None: after the horizon."""
    day = first_of(index)
    dates = [None if days is None else day + dt.timedelta(days=days) for days in arrives]
    return Order(
        pool=pool,
        source=source,
        sku="Ascend-910C" if source.startswith("Ascend") else "H20-96GB",
        month=f"{day:%Y-%m}",
        order_on=day,
        gpus=gpus,
        lots=gpus // 8,
        last_safe=day + dt.timedelta(days=29),
        protects=f"{first_of(min(index + 9, MONTHS - 1)):%Y-%m}",
        arrives=Dates(p10=dates[0], p50=dates[1], p90=dates[2]),
        arrives_within_horizon=0.71 if arrives[2] is None else 0.97,
        price=gpus * 118_000.0,
        prepayment=gpus * 118_000.0 * 0.3,
        probability_without=near(0.71, 0.03),
        cost_without=Interval(value=1.4e6, low=0.9e6, high=1.9e6),
        probability_with=0.93,
        accepted=0.74,
    )


def orders(chat: str, coder: str) -> list[Order]:
    """Six lines over five months."""
    return [
        order(chat, "H20 finished stock", 0, 96, (48, 121, None)),
        order(chat, "H20 new wafers", 0, 128, (286, 341, None)),
        order(coder, "H20 finished stock", 1, 32, (42, 110, 420)),
        order(chat, "Ascend 910C", 2, 64, (60, 88, 131)),
        order(chat, "H20 part-finished", 4, 64, (95, 150, None)),
        order(coder, "H20 new wafers", 6, 16, (270, 330, None)),
    ]


def rival(name: PolicyId, cost: float, probability: float, short: float, gpus: float, base: float) -> Rival:
    """One rival on the same futures."""
    return Rival(
        name=name,
        mean_cost=Interval(value=cost, low=cost * 0.98, high=cost * 1.02),
        cost_difference=Interval(value=cost - base, low=cost - base - 9e5, high=cost - base + 9e5),
        weakest_month="2026-05",
        probability=near(probability, 0.022),
        shortfall_share=short,
        worst_tenth_shortfall=short * 4.1,
        gpus_ordered=gpus,
        verdict="dearer" if probability >= 0.9 else "misses-goal",
    )


def rivals(base: float) -> list[Rival]:
    """Six other ways to act."""
    return [
        rival("nothing-until-cleared", 88.1e6, 0.58, 0.061, 212, base),
        rival("everything-now", 93.5e6, 0.93, 0.003, 560, base),
        rival("nine-month-mrp", 79.9e6, 0.66, 0.034, 344, base),
        rival("domestic-only", 86.7e6, 0.81, 0.012, 420, base),
        rival("rent-only", 104.2e6, 0.44, 0.094, 0, base),
    ]


def serving(pool: str, sku: str, model: str, gpus: int, rate: float | None, label: str | None) -> Serving:
    """One replica; ``rate`` None: it does not fit."""
    return Serving(
        pool=pool,
        sku=sku,
        model=model,
        precision="fp8",
        engine="sglang",
        layout={"tp": gpus},
        gpus_per_replica=gpus,
        fits=rate is not None,
        requests_per_s=None if rate is None else Interval(value=rate, low=rate * 0.78, high=rate * 1.21, level=0.8),
        gpus_per_request_per_s=None if rate is None else gpus / rate,
        ttft_ms=None if rate is None else 1240.0,
        tpot_ms=None if rate is None else 41.5,
        concurrency=None if rate is None else 96.0,
        label=label,
        mfu=None if rate is None else 0.31,
        mbu=None if rate is None else 0.58,
        limits="TPOT" if rate is not None else "memory",
        reason="Step-time model through two published rows on H200, carried over to H20 by its own peaks."
        if rate is not None
        else "Weights of 671 GB do not fit: 127 GB too much on 8 GPUs.",
    )


def study(chat: str) -> dict:
    """What the study behind the plan found: the parts of the record that an older plan lacks."""
    quarters = [f"{first_of(index).year}-Q{(first_of(index).month + 2) // 3}" for index in range(MONTHS)]
    return {
        "later": [
            LaterOrder(
                pool=chat,
                source="H20 new wafers",
                sku="H20-96GB",
                month=f"{first_of(index):%Y-%m}",
                placed=0.4,
                mean_gpus=20.25,
                gpus=Quantiles(p10=0, p50=16, p90=48),
            )
            for index in (3, 5)
        ],
        "calendar": Calendar(
            conditional=True,
            lines=[
                ConditionalOrder(
                    pool=chat,
                    source="H20 finished stock",
                    sku="H20-96GB",
                    month=f"{first_of(index):%Y-%m}",
                    order_on=first_of(index),
                    gpus=64,
                    condition=condition,
                    placed=placed,
                )
                for index, condition, placed in (
                    (1, Condition(watched="H20 finished stock", least="promised"), 0.83),
                    (2, Condition(watched="H20 new wafers", most="closed"), 0.21),
                    (4, Condition(watched="H20 finished stock", least="passing", waits=True), 0.64),
                )
            ],
            mean_cost=Interval(value=79.9e6, low=78e6, high=81e6),
            cost_difference=Interval(value=3.5e6, low=2.9e6, high=4.1e6),
            weakest_month="2026-05",
            probability=near(0.902, 0.02),
            conditions_save=Interval(value=2.2e6, low=1.6e6, high=2.8e6),
        ),
        "quarters": [
            Quarter(
                quarter=name,
                spend=Quantiles(p10=6.1e6, p50=8.2e6 + 1e5 * at, p90=13.4e6),
                mean={"prepayments": 4.4e6, "balances": 3.1e6, "refunds": -0.6e6, "licence fees": 0.0},
                committed=9.1e6,
                at_risk=2.5e6,
            )
            for at, name in enumerate(dict.fromkeys(quarters))
        ],
        "information": Information(
            stochastic_solution=Interval(value=2.7e6, low=1.9e6, high=3.5e6),
            perfect=Interval(value=11.8e6, low=10.1e6, high=13.5e6),
            foretold=200,
        ),
        "open_gates": [
            OpenGate(
                gate=gate,
                cost_difference=Interval(value=cost, low=cost - 7e5, high=cost + 7e5),
                weakest_month="2026-05",
                probability_difference=Interval(value=0.037, low=0.019, high=0.055),
                futures=2000,
            )
            for gate, cost in ((None, -5.3e6), (GATES[0], -3.8e6))
        ],
        "frontier": [
            FrontierPoint(
                goal=goal,
                mean_cost=Interval(value=cost, low=cost - 8e5, high=cost + 8e5),
                weakest_month="2026-05",
                probability=near(reached, 0.02),
                meets_goal=reached >= goal,
            )
            for goal, reached, cost in ((0.8, 0.82, 71e6), (0.9, 0.91, 76.4e6), (0.99, 0.962, 93e6))
        ],
        "tornado": [
            Swing(input=varied, cost_low=low, cost_high=high, met_low=0.99, met_high=0.8)
            for varied, low, high in (
                (SwingInput(kind="need", pool=chat), 52e6, 109e6),
                (SwingInput(kind="carries", pool=chat, sku="H20-96GB"), 88e6, 69e6),
                (SwingInput(kind="months-to-service", source="H20 new wafers"), 74e6, 79e6),
            )
        ],
        "limits": [BindingLimit(limit="monthly-cap", sources=["H20 finished stock"], month="2025-08", saves=31_500.0)],
    }


def build(title: str = "The day of the news", chat: str = "chat", coder: str = "coder") -> PlanRecord:
    """The whole record."""
    cost = 76.4e6
    months_ = months(chat, coder)
    weakest = min((month for month in months_ if month.required), key=lambda month: month.probability.value)
    record = PlanRecord(
        versions=Provenance(waferlag="0.1.0", python="3.11.7", numpy="2.3.5", simpy="4.1.2", highspy="1.12.0"),
        scenario=scenario(title, chat, coder),
        overrides=["demand-doubles"],
        scenario_hash="5f2c" * 16,
        seed=20250716,
        roots={"optimise": 20250716, "validate": 902025071},
        answer=Answer(
            feasible=True,
            goal=0.9,
            weakest_month=weakest.month,
            probability=weakest.probability,
            next_order_by=dt.date(2025, 8, 14),
            runs_out=Dates(p10=dt.date(2025, 10, 1), p50=dt.date(2025, 12, 1), p90=dt.date(2026, 3, 1)),
            cost_of_waiting=Interval(value=1.4e6, low=0.9e6, high=1.9e6),
            waiting_takes=-0.031,
            waiting_hurts="2026-05",
            demand_growth=(1.4, 3.2),
            way="monthly-re-planning",
            plan_again_on=first_of(1),
        ),
        months=months_,
        orders=orders(chat, coder),
        reservations=[
            Reservation(
                pool=coder,
                source="Cloud H100",
                sku="H100-SXM",
                month=f"{first_of(index):%Y-%m}",
                reserve_by=first_of(index) - dt.timedelta(days=30),
                gpus=16,
                price=16 * 730 * 14.5,
            )
            for index in range(3, 9)
        ],
        kpis=Kpis(
            expected_cost=Quantiles(p10=61.2e6, p50=75.1e6, p90=94.8e6),
            mean_cost=Interval(value=cost, low=75.8e6, high=77.0e6, level=0.95),
            cost_parts={
                "goods": 52.1e6,
                "hosting and power": 19.4e6,
                "reserved rental": 6.1e6,
                "spot rental": 4.0e6,
                "unmet demand": 3.2e6,
                "value left at the horizon": -8.4e6,
            },
            committed=14.2e6,
            at_risk=4.6e6,
            gpus_ordered=400,
            shortfall_share=near(0.004, 0.001),
            cost_per_million_tokens=1.37,
        ),
        rivals=rivals(cost),
        sizing=[
            serving(chat, "H20-96GB", "DeepSeek-R1", 16, 1.31, "extrapolated"),
            serving(chat, "Ascend-910C", "DeepSeek-R1", 32, 1.08, "estimated"),
            serving(coder, "H20-96GB", "Qwen3-32B", 2, 0.61, "extrapolated"),
            serving(coder, "H100-SXM", "Qwen3-32B", 2, 0.94, "calibrated"),
            serving(chat, "H100-SXM", "DeepSeek-R1", 8, None, None),
        ],
        profiles=[],
        lead_times=[
            LeadTime(
                source=source,
                entry=entry,
                days=Quantiles(p10=low, p50=middle, p90=high),
                arrives_within_horizon=share,
                promised_not_before=START + dt.timedelta(days=first),
            )
            for source, entry, low, middle, high, share, first in (
                ("H20 finished stock", "finished-stock", 48, 121, 402, 0.74, 40),
                ("H20 part-finished", "part-finished", 118, 190, 455, 0.68, 104),
                ("H20 new wafers", "new-wafers", 286, 341, 498, 0.57, 277),
                ("Ascend 910C", "domestic", 60, 88, 131, 0.99, 52),
            )
        ],
        gate_odds=[
            GateOdds(
                gate=gate,
                authority=authority,
                state=state,
                passes_within_months={f"{first_of(index):%Y-%m}": 0.04 * index for index in range(MONTHS)},
                closes_within_90_days=0.11,
                arrives=near(0.42, 0.02),
                arrives_if_open=near(0.71, 0.02),
            )
            for gate, authority, state in zip(
                GATES, ("us", "cn", "vendor"), ("promised", "open", "promised"), strict=True
            )
        ],
        **study(chat),
        physics={"lots": 50, "replications": 2000, "cvar_bound": 0.031},
        sources=[
            {
                "what": "Gate timeline, H20",
                "source": "Nvidia filing and calls, press",
                "date": "2025-07-16",
                "evidence": "official",
            },
            {
                "what": "Price of H20 board",
                "source": "Tencent Technology via Airstar",
                "date": "2025-12-24",
                "evidence": "reported",
            },
        ],
        why=Reasons(
            missed=[
                MissedMonth(
                    month="2026-12", best=Interval(value=0.84, low=0.82, high=0.86), missing={chat: 1.7, coder: 0.4}
                )
            ],
            relaxations=[Relaxation(limit="monthly-cap", factor=1.4, sources=["H20 finished stock"])],
            budget_that_would_do=1.1e8,
            own_volume=OwnVolume(costs=6.2e5, settled=False, moves=[0.4, 0.12, 0.09]),
            unsellable=[Unsellable(source="Ascend 910C", most=8, least=16)],
        ),
    )
    return with_sentences(record)
