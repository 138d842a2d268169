"""The demo's films, drawn by our own code, and the truth about them: who walks by when, and what must be counted."""
