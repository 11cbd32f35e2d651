"""Readers of published and own traces, one format a file."""
