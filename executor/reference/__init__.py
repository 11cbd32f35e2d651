"""What is known of engines, models, GPUs and measured serving: tables with sources, and their readers."""

from pathlib import Path

SHIPPED = Path(__file__).parent
"""Where these tables lie."""
