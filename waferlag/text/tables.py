"""What a terminal shows of a text: its cells, lines of at most 80 of them, plain tables."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

WIDTH = 80
GAP = "  "
"""Between two columns."""
NARROWEST = 6
"""A column of words is cut to no less than this."""


def say(text: str = "") -> None:
    """Print on stdout at once."""
    print(text, flush=True)


def plain(text: str) -> str:
    """Text that cannot steer a terminal: control characters and turns of direction become question marks."""
    joiners = "\n\u200c\u200d"
    return "".join(c if c.isprintable() or c in joiners else "?" for c in text)


def displayed_width(text: str) -> int:
    """Cells that a terminal needs: two for wide characters, none for those that join the one before."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), whole: Iterable[int] = ()
) -> str:
    """A plain table: a head, a rule, rows; the columns in ``right`` are flush right.

    Columns of words are cut until the table fits 80 columns; those in ``right`` and ``whole`` are not.

    >>> print(table(["name", "GPUs"], [["a", "8"], ["b", "128"]], right=[1]))
    name  GPUs
    ----  ----
    a        8
    b      128
    """
    lines = [[" ".join(plain(cell).splitlines()) for cell in line] for line in [head, *rows]]
    flush = set(right)
    columns = list(zip(*lines, strict=True))
    words = [at for at in range(len(columns)) if at not in flush.union(whole)]
    widths = _fitted([max(map(displayed_width, column)) for column in columns], words)

    def laid(line: Sequence[str]) -> str:
        cells = (_padded(cut(c, w), w, at in flush) for at, (c, w) in enumerate(zip(line, widths, strict=True)))
        return GAP.join(cells).rstrip()

    rule = ["-" * width for width in widths]
    return "\n".join(laid(line) for line in [lines[0], rule, *lines[1:]])


def _fitted(widths: list[int], words: Sequence[int]) -> list[int]:
    """Widths of which the widest columns of words give way until the table fits."""
    over = sum(widths) + len(GAP) * (len(widths) - 1) - WIDTH
    while over > 0 and words and max(widths[at] for at in words) > NARROWEST:
        widths[max(words, key=lambda at: widths[at])] -= 1
        over -= 1
    return widths


def _padded(text: str, width: int, flush: bool) -> str:
    blanks = " " * (width - displayed_width(text))
    return blanks + text if flush else text + blanks


def wrapped(text: str, bullet: str = "") -> list[str]:
    """Lines of at most 80 cells, hanging under the bullet; a word longer than a line is cut into lines.

    >>> wrapped("one two", "- ")
    ['- one two']
    """
    lines, line = [], bullet
    room = " " * displayed_width(bullet)
    for word in _pieces(plain(" ".join(text.split())), WIDTH - displayed_width(bullet)):
        joined = f"{line}{word}" if line in (bullet, room) else f"{line} {word}"
        if displayed_width(joined) > WIDTH:
            lines.append(line)
            joined = room + word
        line = joined
    return [*lines, line.rstrip()]


def _pieces(text: str, width: int) -> Iterator[str]:
    """The words of a text, those that no line can hold in parts."""
    for word in text.split():
        part = ""
        for character in word:
            if displayed_width(part + character) > width:
                yield part
                part = ""
            part += character
        yield part


def cut(text: str, width: int) -> str:
    """Text in at most ``width`` cells, with an ellipsis where something is missing."""
    if displayed_width(text) <= width:
        return text
    kept = ""
    for character in text:
        if displayed_width(kept + character) > width - 1:
            break
        kept += character
    return f"{kept}…"
