"""The cameras: where their pictures come from, and how to watch them."""
