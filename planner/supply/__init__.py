"""Supply: what becomes of orders on their way through stages and gates.

    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    deliveries = simulate(spec, orders, Key(root), range(2000))

Gate processes are learnt (``posterior``) and drawn (``paths``) before any goods move; so is the durations of
every lot (``durations``). Two engines then tell the same story: ``simpy_engine`` is the specification,
``fast_engine`` the recursion.
"""
