"""Whose shops there are, where they are, and the cameras that hang in them."""
