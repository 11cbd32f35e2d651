"""A serial chain of stocking nodes: hand-written SimPy against SupplyNetPy, in the same process.

Each node reviews its position at every withdrawal and orders up to 600 when it falls to 300 or below; a shipment
takes 3 days; a customer takes 10 units a day for 1,080 days. Both must serve 10,800 units.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import time
from collections.abc import Callable, Generator
from typing import Any

import simpy

DAYS, DAILY, LOW, UP_TO, LEAD = 1080, 10, 300, 600, 3


class Node:
    """One stocking node with an (s, S) policy; its supplier is the node upstream, or an endless source."""

    def __init__(self, env: simpy.Environment, upstream: Node | None) -> None:
        self.env, self.upstream = env, upstream
        self.stock = simpy.Container(env, init=UP_TO, capacity=UP_TO)
        self.on_order = 0

    def take(self, quantity: int) -> Generator[simpy.Event, Any, None]:
        """Hand out units, waiting for them if need be, and reorder."""
        yield self.stock.get(quantity)
        position = self.stock.level + self.on_order
        if position <= LOW:
            self.on_order += UP_TO - position
            self.env.process(self.refill(UP_TO - position))

    def refill(self, quantity: int) -> Generator[simpy.Event, Any, None]:
        """Buy upstream, wait for the shipment, put it on the shelf."""
        if self.upstream is not None:
            yield from self.upstream.take(quantity)
        yield self.env.timeout(LEAD)
        yield self.stock.put(quantity)
        self.on_order -= quantity


def by_hand(nodes: int) -> int:
    """Units served to the customer."""
    env = simpy.Environment()
    last: Node | None = None
    for _ in range(nodes):
        last = Node(env, last)
    served = 0

    def customer(shop: Node) -> Generator[simpy.Event, Any, None]:
        nonlocal served
        for _ in range(DAYS):
            yield from shop.take(DAILY)
            served += DAILY
            yield env.timeout(1)

    assert last is not None
    env.process(customer(last))
    env.run(until=DAYS)
    return served


def by_supplynetpy(nodes: int) -> int:
    """The same chain in SupplyNetPy, logging off; units served to the customer."""
    from SupplyNetPy import Components as peer  # noqa: N813

    policy = {"replenishment_policy": peer.SSReplenishment, "policy_param": {"s": LOW, "S": UP_TO}}
    money = {"inventory_holding_cost": 1, "product_buy_price": 1, "product_sell_price": 2}
    sites: list[dict[str, Any]] = [{"ID": "source", "name": "source", "node_type": "infinite_supplier"}]
    for k in range(nodes):
        kind = "retailer" if k == nodes - 1 else "distributor"
        stock = {"capacity": UP_TO, "initial_level": UP_TO}
        sites.append({"ID": f"n{k}", "name": f"n{k}", "node_type": kind, **stock, **policy, **money})
    names = [site["ID"] for site in sites]
    links = [
        {"ID": f"l{k}", "source": names[k], "sink": names[k + 1], "cost": 1, "lead_time": lambda: LEAD}
        for k in range(nodes)
    ]
    customer = {
        "ID": "customer", "name": "customer", "demand_node": names[-1],
        "order_arrival_model": lambda: 1, "order_quantity_model": lambda: DAILY,
    }  # fmt: skip
    network = peer.create_sc_net(sites, links, [customer])
    with contextlib.redirect_stdout(io.StringIO()):
        result = peer.simulate_sc_net(network, sim_time=DAYS, logging=False)
    return int(result["fulfillment_received_by_customers"][1])


def chain_rows() -> list[str]:
    """Milliseconds for one run of each, and how many times longer the peer takes."""
    lines = ["| serial chain | hand-written SimPy | SupplyNetPy | times |", "|---|---|---|---|"]
    try:
        importlib.import_module("SupplyNetPy.Components")
    except ImportError as error:
        return [f"SupplyNetPy is not installed here ({error}; extra bench): the serial chain was left out."]
    for nodes in (3, 6):
        times = {}
        for work in (by_hand, by_supplynetpy):
            served = work(nodes)
            if served != DAYS * DAILY:
                raise SystemExit(f"{work.__name__} served {served} units of {DAYS * DAILY}")
            times[work] = min(_cpu(work, nodes) for _ in range(5))
        hand, peer = times[by_hand] * 1000, times[by_supplynetpy] * 1000
        lines.append(f"| {nodes} nodes | {hand:.1f} ms | {peer:.1f} ms | {peer / hand:.1f} |")
    return lines


def _cpu(work: Callable[[int], int], nodes: int) -> float:
    began = time.process_time()
    work(nodes)
    return time.process_time() - began
