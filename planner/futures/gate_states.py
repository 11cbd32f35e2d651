"""States of a gate as numbers."""

from __future__ import annotations

CLOSED, PROMISED, PASSING = 0, 1, 2
"""States of the least open gate of a source, as `Futures.regime` counts them."""
