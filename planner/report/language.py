"""The words on terminal, screen and paper, in English and Chinese.

The English text is the key: ``say("Orders")`` is "Orders" in English and its counterpart from
``words_zh.json`` in Chinese. Figures enter by name: ``say("{n} GPUs", n=96)``.
"""

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from executor.errors import UnknownNameError
from planner.record.models import Interval

LANGUAGES = ("en", "zh")
_WORDS = Path(__file__).parent / "words_zh.json"
_BOUND = "\u00a0"
"""A space that keeps a number and its unit on one line."""
_JOINER = "\u200d"
"""Zero-width joiner: a format character that emoji need."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@cache
def _words(language: str) -> dict[str, str]:
    if language == "en":
        return {}
    words: dict[str, str] = json.loads(_WORDS.read_text(encoding="utf-8"))
    return words


@dataclass(frozen=True)
class Wording:
    """Says things in one language."""

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise UnknownNameError("language", self.language, LANGUAGES)

    def __call__(self, text: str, **figures: Any) -> str:
        """``text`` in this language with the figures put in; an unknown text stays English."""
        said = _words(self.language).get(text, text)
        shown = {name: displayable(value) if isinstance(value, str) else value for name, value in figures.items()}
        return said.format(**shown) if shown else said

    def day(self, day: dt.date | None) -> str:
        """A date that a person can put in a calendar; None: after the horizon."""
        if day is None:
            return self("after the horizon")
        if self.language == "zh":
            return f"{day.year}年{day.month}月{day.day}日"
        return _BOUND.join((str(day.day), _MONTHS[day.month - 1], str(day.year)))

    def month(self, month: str) -> str:
        """A month given as YYYY-MM."""
        year, number = month.split("-")
        return f"{year}年{int(number)}月" if self.language == "zh" else f"{_MONTHS[int(number) - 1]}{_BOUND}{year}"

    def percent(self, share: float, digits: int = 0) -> str:
        """A share as a percentage; 100 % is only said when nothing is missing."""
        shown = f"{100 * share:.{digits}f}"
        if share < 1 and float(shown) >= 100:
            shown = f"{100 - 10.0 ** -max(digits, 1):.{max(digits, 1)}f}"
        return f"{shown}{_BOUND}%"

    def percent_range(self, low: float, high: float) -> str:
        """Two shares as one range."""
        return f"{100 * low:.0f}–{100 * high:.0f}{_BOUND}%"

    def money(self, amount: float, currency: str = "") -> str:
        """An amount with three digits at most and a magnitude: 1.4 M CNY; in Chinese 140 万 CNY."""
        sign = "−" if amount < 0 else ""
        size = abs(amount)
        steps = ((1e8, "亿"), (1e4, "万")) if self.language == "zh" else ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
        for step, letter in steps:
            if size >= step * 0.9995:
                return f"{sign}{_three_digits(size / step)}{_BOUND}{letter}{_BOUND}{currency}".rstrip()
        return f"{sign}{_three_digits(size)}{_BOUND}{currency}".rstrip()

    def change(self, amount: float, currency: str = "") -> str:
        """A difference in money, with its sign."""
        return ("+" if amount > 0 else "") + self.money(amount, currency)

    def odds(self, interval: Interval) -> str:
        """A probability with its interval, never bare."""
        return f"{self.percent(interval.value)} ({self.percent_range(interval.low, interval.high)})"

    def together(self, *sentences: str | None) -> str:
        """Sentences one after the other; Chinese sets no blank between them."""
        return ("" if self.language == "zh" else " ").join(filter(None, sentences))

    def listed(self, words: Iterable[str]) -> str:
        """a; a and b; a, b and c."""
        every = list(words)
        if len(every) <= 1:
            return "".join(every)
        return self(", ").join(every[:-1]) + self(" and ") + every[-1]

    def count(self, number: float) -> str:
        """GPUs and the like, with separators between thousands."""
        return f"{number:,.0f}"

    def counts(self, **numbers: float) -> dict[str, str]:
        """Counts by name, to be put into a text."""
        return {name: self.count(number) for name, number in numbers.items()}

    def moneys(self, currency: str, **amounts: float) -> dict[str, str]:
        """Amounts of money by name, to be put into a text."""
        return {name: self.money(amount, currency) for name, amount in amounts.items()}

    def changes(self, currency: str, **amounts: float) -> dict[str, str]:
        """Differences in money by name, to be put into a text."""
        return {name: self.change(amount, currency) for name, amount in amounts.items()}


ENGLISH = Wording("en")


def _three_digits(number: float) -> str:
    """Three significant digits at most, no trailing zeros behind a point."""
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(name: str, length: int = 32) -> str:
    """A name that fits a chart: fit to stand there, cut at ``length`` characters, the cut shown."""
    return displayable(name if len(name) <= length else name[: length - 1] + "…")


def displayable(text: str) -> str:
    """Text of unknown origin as it may stand on a page: no control characters, no direction overrides.

    What is written right to left is set apart by isolates, so that it cannot turn the words around it.
    """
    kept = "".join(character for character in text if _may_stand(character))
    return _RIGHT_TO_LEFT.sub("\u2068\\g<0>\u2069", kept)


def _may_stand(character: str) -> bool:
    return character in ("\n", "\t", _JOINER) or unicodedata.category(character) not in _UNSEEN


_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Unicode's classes of characters that are not seen: controls, formats, surrogates, private, unassigned."""
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+(?:\\s+[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+)*"
)
"""Hebrew, Arabic and their neighbours, with the spaces between their words."""
