"""The supply network as arrays: every future at once."""
