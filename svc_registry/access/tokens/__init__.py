"""Credentials in, tokens out; sessions and their end."""
