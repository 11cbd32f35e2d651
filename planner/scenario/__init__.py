"""The scenario file: its models, loading with named overrides, checks that span fields, the shipped ones."""
