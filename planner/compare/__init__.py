"""A plan beside others: alternatives, what-if, one input at a time, a single future, another plan."""
