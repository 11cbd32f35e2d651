"""Plans and tables on a terminal."""
