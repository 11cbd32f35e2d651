"""The supply network as SimPy processes: one future at a time, with an event log."""
