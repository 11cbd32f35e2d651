"""The linear programme over sampled futures, and how it is solved."""
