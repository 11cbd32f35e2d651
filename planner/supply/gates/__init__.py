"""Gates over time: what the record of decisions says, and paths drawn from it."""
