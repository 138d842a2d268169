"""Face events in, visits out: what the cameras saw, each once, folded into visits and told to whoever watches."""
