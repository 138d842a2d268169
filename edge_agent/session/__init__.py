"""The worker's session with the registry: who it is, what it may watch, and until when."""
