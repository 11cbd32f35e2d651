"""Scenario in, plan out. Pure: no torch, database, screen or chart."""
