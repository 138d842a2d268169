"""Faces in: judged, matched, written and folded into visits, each once."""
