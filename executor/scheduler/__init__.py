"""Which requests run in a step, and who holds which pages of the KV cache."""
