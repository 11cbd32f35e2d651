"""What one replica serves, from formula, measured rows and replay: label and interval on every figure."""
