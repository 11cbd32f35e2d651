"""Who gets how much of a quantity that several customers ask for and that does not suffice.

A licence's cap or a vendor's output is divided by a rule. Rules are those of the literature on allocation (Cachon and
Lariviere, Management Science 45, 1999; Sprumont, Econometrica 59, 1991); quantities are whole GPUs.
"""

from collections.abc import Sequence
from typing import Literal

Rule = Literal["proportional", "uniform", "in-turn"]


def allocate(quantity: int, asked: Sequence[int], rule: Rule) -> list[int]:
    r"""What each customer gets of ``quantity``, in the order of ``asked``; nobody gets more than is asked for.

    proportional  g_i = min(a_i, Q a_i / \sum a)     who asks for more gets more
    uniform       g_i = min(a_i, l), \sum g = Q      equal parts; what one does not need goes to the others
    in-turn       g_i = min(a_i, Q - \sum_{j<i} g_j) who comes first is served in full

    Parts of a GPU are given to the largest remainders, the first customer first among equals.

    >>> allocate(90, [30, 60, 90], "proportional"), allocate(90, [30, 60, 90], "uniform")
    ([15, 30, 45], [30, 30, 30])
    >>> allocate(90, [10, 60, 90], "uniform"), allocate(90, [30, 45, 90], "in-turn")
    ([10, 40, 40], [30, 45, 15])
    """
    if quantity < 0 or any(one < 0 for one in asked):
        raise ValueError("quantities are not negative")
    if sum(asked) <= quantity:
        return list(asked)
    if rule == "proportional":
        total = sum(asked)
        parts = [divmod(quantity * one, total) for one in asked]
        return _rounded(quantity, [whole for whole, _ in parts], [rest for _, rest in parts])
    if rule == "uniform":
        return _uniform(quantity, asked)
    given, left = [], quantity
    for one in asked:
        given.append(min(one, left))
        left -= given[-1]
    return given


def _uniform(quantity: int, asked: Sequence[int]) -> list[int]:
    """The highest level that suffices for all; what is left over goes by one to those who ask for more, in turn."""
    level = max(height for height in _levels(quantity, asked) if sum(min(one, height) for one in asked) <= quantity)
    given = [min(one, level) for one in asked]
    return _rounded(quantity, given, [int(one > level) for one in asked])


def _levels(quantity: int, asked: Sequence[int]) -> list[int]:
    """Levels that may be the highest: each divides what the small customers leave among the others."""
    rising = sorted(asked)
    left = [quantity - sum(rising[:k]) for k in range(len(rising))]
    return [0, *(rest // (len(rising) - k) for k, rest in enumerate(left) if rest >= 0)]


def _rounded(quantity: int, whole: list[int], rest: list[int]) -> list[int]:
    """Give out what whole numbers leave over."""
    for i in sorted(range(len(whole)), key=lambda i: (-rest[i], i))[: quantity - sum(whole)]:
        whole[i] += 1
    return whole
