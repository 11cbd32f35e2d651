"""From a solved plan to its record and sentences."""
