"""From faces in frames to passages: who walked by, once, with the best picture of it."""
