"""Counts: series, distributions, exports."""
