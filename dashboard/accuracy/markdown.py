"""Figures in Markdown: tables, shares and errors as the accuracy pages write them."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    >>> print(table(["law", "Brier"], [["ours", 0.5]]))
    | law | Brier |
    |---|---|
    | ours | 0.5 |
    """
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def share(value: float | None) -> str:
    """A share in per cent, three digits below 100 %; a dash where there is none.

    >>> share(0.0672), share(1.143), share(None)
    ('6.72 %', '114 %', '-')
    """
    if value is None:
        return "-"
    return f"{100 * value:.3g} %" if abs(value) < 1 else f"{100 * value:.0f} %"


def signed(value: float | None) -> str:
    """A signed share in whole per cent, without the sign of per cent.

    >>> signed(-0.268)
    '-27'
    """
    return "-" if value is None else f"{100 * value:+.0f}"


def decimals(value: float | None, digits: int) -> str:
    """A number with so many decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
