"""The plan record: its models, and where it came from."""
