"""Visits and pictures out: the live feed, and addresses of images."""
