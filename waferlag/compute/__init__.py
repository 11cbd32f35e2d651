"""How many cores there are, and a cluster where one is named."""
