"""The scenario file: its models, loading with named overrides, checks that span fields, the shipped ones."""

from planner.scenario.models import Scenario

__all__ = ["Scenario"]
