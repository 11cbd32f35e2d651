"""Questions answered behind the screen: in a process of its own, or as a queued run."""
