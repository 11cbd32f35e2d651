"""How much of the time a GPU serves."""


def availability(failures_per_year: float, repair_days: float) -> float:
    r"""Long-run share of time in service of a GPU that fails and is repaired.

    A = 1 / (1 + \lambda R / 365)

    λ ``failures_per_year``  failures per GPU and year of service
    R ``repair_days``        days from failure to service again

    Holds for any laws of life and repair with these means (alternating renewal process).

    >>> round(availability(failures_per_year=0.09, repair_days=14), 5)
    0.99656
    """
    return 1.0 / (1.0 + failures_per_year * repair_days / 365.0)
