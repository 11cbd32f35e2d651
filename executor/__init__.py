"""What one replica can serve: specs, costs, a step-time model, replay, and an engine that measures."""
