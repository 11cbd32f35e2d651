"""Ways to act: the plan's own rules and the benchmark policies."""
