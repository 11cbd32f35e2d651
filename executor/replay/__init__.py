"""Requests replayed through the scheduler on a modelled clock."""
