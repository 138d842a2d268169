"""Visits, one by one, and why they are what they are."""
