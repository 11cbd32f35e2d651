"""Demand: what published and own traffic looks like, and how the load of a pool may grow."""
