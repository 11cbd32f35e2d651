"""One look for screen and paper: what a colour means, and how a chart is dressed.

The hues are those of Okabe and Ito (2008), which stay apart for the common kinds of colour blindness; the
states of a gate run from ColorBrewer's RdBu ends. A state also shows its letter, never its colour alone.
"""

from dataclasses import dataclass
from typing import Any

FONT = "Source Sans, Source Sans Pro, Noto Sans CJK SC, sans-serif"
"""Streamlit serves Source Sans to the screen; the report ships it for paper."""

STATES = ("closed", "promised", "conditional", "open")
"""A gate's states, from worst to best."""

STATE_LETTERS = {"closed": "C", "promised": "P", "conditional": "K", "open": "O"}
"""Letters for states in tight places: conditional is K, since C is taken."""

LABELS = ("measured", "calibrated", "extrapolated", "estimated")
"""Where a serving figure comes from, best first."""


@dataclass(frozen=True)
class Look:
    """Colours by meaning, for one background."""

    background: str
    ink: str
    """Text and strong lines."""
    quiet: str
    """Axis text and secondary labels."""
    faint: str
    """Grid and empty cells."""
    need: str
    in_service: str
    reserved: str
    spot: str
    unmet: str
    domestic: str
    goal: str
    met: str
    missed: str
    states: dict[str, str]
    state_ink: dict[str, str]
    labels: dict[str, str]


LIGHT = Look(
    background="#ffffff",
    ink="#1b2530",
    quiet="#52606d",
    faint="#e4e8ec",
    need="#c84e00",
    in_service="#0072b2",
    reserved="#00795a",
    spot="#3a9bd0",
    unmet="#9b1b50",
    domestic="#b0588a",
    goal="#1b2530",
    met="#bfdcef",
    missed="#f6b48f",
    states={"closed": "#b2182b", "promised": "#f4a582", "conditional": "#92c5de", "open": "#2166ac"},
    state_ink={"closed": "#ffffff", "promised": "#1b2530", "conditional": "#1b2530", "open": "#ffffff"},
    labels={"measured": "#00795a", "calibrated": "#0072b2", "extrapolated": "#9a5b00", "estimated": "#9b1b50"},
)

DARK = Look(
    background="#11161c",
    ink="#eef2f5",
    quiet="#a9b4bf",
    faint="#2b343d",
    need="#ff8f4a",
    in_service="#56b4e9",
    reserved="#2fc9a0",
    spot="#9fd3f2",
    unmet="#ef7fb0",
    domestic="#d99ac0",
    goal="#eef2f5",
    met="#1f5578",
    missed="#a34a17",
    states={"closed": "#d6404f", "promised": "#f4a582", "conditional": "#92c5de", "open": "#4a90d0"},
    state_ink={"closed": "#ffffff", "promised": "#1b2530", "conditional": "#1b2530", "open": "#ffffff"},
    labels={"measured": "#2fc9a0", "calibrated": "#56b4e9", "extrapolated": "#f0b35a", "estimated": "#ef7fb0"},
)


def chart_config(look: Look) -> dict[str, Any]:
    """Vega-Lite configuration that every chart wears."""
    words = dict.fromkeys(("labelColor", "titleColor"), look.quiet)
    lines = dict.fromkeys(("gridColor", "domainColor", "tickColor"), look.faint)
    sizes = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    title = {"color": look.ink, "fontSize": 15, "fontWeight": 600, "anchor": "start", "offset": 12, "frame": "bounds"}
    return {
        "font": FONT,
        "background": look.background,
        "padding": {"left": 4, "right": 8, "top": 6, "bottom": 4},
        "view": {"stroke": None},
        "axis": {**words, **lines, **sizes, "labelPadding": 5},
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False},
        "legend": {"labelColor": look.ink, "titleColor": look.quiet, "labelFontSize": 12, "orient": "top"},
        "title": title,
        "text": {"color": look.ink, "fontSize": 12},
    }
