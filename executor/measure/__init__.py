"""Measures engines: operators and steps on a device, closed and open loops behind an endpoint."""
