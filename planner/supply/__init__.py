"""Supply: what becomes of orders on their way through stages and gates.

    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    deliveries = simulate(spec, orders, Key(root), range(2000))

Gate processes are learnt (``posterior``) and drawn (``paths``) before any goods move; so is the luck of
every lot (``luck``). Two engines then tell the same story: ``simpy_engine`` is the specification,
``fast_engine`` the recursion.
"""

from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.network.gate import (
    Always,
    Dwell,
    Effect,
    Fate,
    FirstDelivery,
    FromHistory,
    Gate,
    OwnLaw,
    Passage,
    Point,
    Review,
    Scripted,
    State,
)
from planner.supply.network.route import Route, Side, Stage
from planner.supply.network.spec import Allotment, Cap, Line, Orders, Source, SupplySpec, While
from planner.supply.outcomes import UNSEEN, Deliveries, Outcome
from planner.supply.simulate import simulate

__all__ = [
    "UNSEEN",
    "Allotment",
    "Always",
    "Cap",
    "Deliveries",
    "Dwell",
    "Effect",
    "Fate",
    "FirstDelivery",
    "FromHistory",
    "Gate",
    "Line",
    "Orders",
    "Outcome",
    "OwnLaw",
    "Passage",
    "Point",
    "Review",
    "Route",
    "Scripted",
    "Side",
    "Source",
    "Stage",
    "State",
    "SupplySpec",
    "While",
    "candidate_orders",
    "simulate",
    "supply_spec",
]
