"""GPUs in service and what they cost: availability, hosting and power, value left at the horizon."""
