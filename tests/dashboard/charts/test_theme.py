"""Colours: readable on their background, and told apart by people who see colours differently."""

import itertools

import pytest

from dashboard.charts.theme import DARK, LIGHT, STATE_LETTERS, STATES, Look

LOOKS = pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])


def channels(colour: str) -> list[float]:
    """Linear light of red, green and blue, 0..1 (sRGB transfer function)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def luminance(colour: str) -> float:
    red, green, blue = channels(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def deuteranope(colour: str) -> list[float]:
    """As seen without the middle cones (Machado, Oliveira and Fernandes 2009, severity 1)."""
    matrix = ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969))
    light = channels(colour)
    return [sum(weight * part for weight, part in zip(row, light, strict=True)) for row in matrix]


@LOOKS
@pytest.mark.parametrize("meaning", ["ink", "quiet", "need", "in_service", "reserved", "unmet", "domestic"])
def test_text_in_a_meaning_colour_is_readable(look: Look, meaning: str):
    assert contrast(getattr(look, meaning), look.background) >= 4.5  # WCAG 2.2 AA for text


@LOOKS
def test_badges_are_readable(look: Look):
    assert min(contrast(colour, look.background) for colour in look.labels.values()) >= 4.5


@LOOKS
def test_letters_on_the_states_are_readable(look: Look):
    ratios = [contrast(look.state_ink[state], look.states[state]) for state in STATES]
    assert min(ratios) >= 3.0  # WCAG 2.2 AA for graphics: the letter repeats what the legend and tooltip say


@LOOKS
def test_numbers_on_the_month_cells_are_readable(look: Look):
    assert min(contrast(look.ink, cell) for cell in (look.met, look.missed, look.faint)) >= 4.5


@LOOKS
def test_need_and_fleet_stay_apart_without_the_middle_cones(look: Look):
    for one, other in itertools.combinations((look.need, look.in_service, look.unmet), 2):
        apart = sum((a - b) ** 2 for a, b in zip(deuteranope(one), deuteranope(other), strict=True)) ** 0.5
        assert apart > 0.1, (one, other)  # linear light; two neighbouring steps of a 10-step grey scale


def test_every_state_has_a_letter_of_its_own():
    assert len({STATE_LETTERS[state] for state in STATES}) == len(STATES)
