"""What each state of each authority's gate does to goods by default, and on what grounds.

    us      Closed and promised stop orders, releases, the start of freight, and goods under way (26 Aug 2022
            and 9 Apr 2025: at once, no grace period; official). Work in the factory goes on. Conditional
            asks for a licence review of 25 / 120 / 240 days (reported, Feb 2026), approved in 69.9 % of
            China cases (Estevez testimony, Feb 2023; official), and for a fee where one was announced.
    cn      Closed and promised stop orders, the start of freight, and entry at customs (13-14 Jan 2026: the
            first lots were turned back at Hong Kong; reported). Goods made abroad may leave the factory.
    vendor  Closed and promised stop orders, releases and the work itself (21 Aug 2025: half-finished H20
            piled up at Amkor; reported). Goods that have left go on.

Promised means for every authority what July 2025 meant: announced, nobody can order, nothing moves. Conditional at the
Chinese side or the vendor lets goods pass: no duration, rate of approval or cap is on record for them.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from planner.sampling import Constant, Exponential
from planner.scenario import gates as written
from planner.supply.network.gate import Authority, Effect, Fate, Passage, Review, State
from planner.supply.network.shipped_routes import us_review

US_APPROVAL = 0.699
"""Share of China cases approved in fiscal year 2022: Estevez testimony, Feb 2023; official."""


@dataclass(frozen=True)
class FeeTerm:
    """A share of the price that an authority asked for, public since ``published``."""

    authority: Authority
    product: str
    share: float
    published: dt.date
    evidence: str
    source: str


FEES = (
    FeeTerm("us", "H20", 0.15, dt.date(2025, 8, 11), "official",
            "AP via Lincoln Daily News, 12 Aug 2025; Nvidia Q2 FY26 call, 27 Aug 2025"),
    FeeTerm("us", "H200", 0.25, dt.date(2025, 12, 8), "official",
            "Morgan Lewis and Baker McKenzie notes, Jan 2026: 25 per cent to the US"),
)  # fmt: skip

Four = tuple[Effect, Effect, Effect, Effect]

_STOPPED = {
    "us": Effect(order=Passage.HOLD, release=Passage.HOLD, transit=Passage.HOLD, in_transit=Fate.HOLD),
    "cn": Effect(order=Passage.HOLD, transit=Passage.HOLD, receipt=Passage.HOLD),
    "vendor": Effect(order=Passage.HOLD, release=Passage.HOLD, in_process=Fate.HOLD),
}


def default_effects(authority: Authority, product: str | None = None, as_of: dt.date | None = None) -> Four:
    """Effects of closed, promised, conditional and open; fees only where they were public on ``as_of``."""
    stopped = _STOPPED[authority]
    conditional = Effect()
    if authority == "us":
        conditional = Effect(review=Review(us_review(), approval=US_APPROVAL), fee=_fee(authority, product, as_of))
    return stopped, stopped, conditional, Effect()


def _fee(authority: Authority, product: str | None, as_of: dt.date | None) -> float:
    known = [
        term.share
        for term in FEES
        if (term.authority, term.product) == (authority, product) and (as_of is None or term.published <= as_of)
    ]
    return known[-1] if known else 0.0


def effects_of(gate: written.Gate, as_of: dt.date) -> Four:
    """The defaults of the gate's authority with the scenario's changes."""
    four = default_effects(gate.authority, gate.product, as_of)
    closed, promised, conditional, opened = (
        _changed(effect, gate.effects.get(_WORD[state])) for effect, state in zip(four, State, strict=True)
    )
    return closed, promised, conditional, opened


_WORD: dict[State, written.GateState] = {
    State.CLOSED: "closed", State.PROMISED: "promised", State.CONDITIONAL: "conditional", State.OPEN: "open",
}  # fmt: skip


def _changed(effect: Effect, wish: written.Effect | None) -> Effect:
    """Every field that the scenario gives takes the place of the default."""
    if wish is None:
        return effect
    given: dict[str, Any] = {
        name: Passage[word.upper()]
        for name in ("order", "release", "transit", "receipt")
        if (word := getattr(wish, name)) is not None
    }
    for name in ("in_process", "in_transit"):
        if (word := getattr(wish, name)) is not None:
            given[name] = Fate[word.upper()]
    given.update({name: value for name in ("fee", "refund") if (value := getattr(wish, name)) is not None})
    return replace(effect, **given, review=_review(effect.review, wish))


def _review(default: Review | None, wish: written.Effect) -> Review | None:
    """A wished mean is that of an exponential law; a wished approval keeps the default's time."""
    if wish.review_days is None and wish.approval is None and wish.resubmissions is None:
        return default
    law = default.law if default else Constant(0.0)
    if wish.review_days is not None:
        law = Exponential(wish.review_days) if wish.review_days > 0 else Constant(0.0)
    approval = (default.approval if default else 1.0) if wish.approval is None else wish.approval
    again = (default.resubmissions if default else 0) if wish.resubmissions is None else wish.resubmissions
    return None if approval == 1.0 and law == Constant(0.0) else Review(law, approval, again)
