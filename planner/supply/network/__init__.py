"""The supply network as data: sources, routes, stages, gates."""
