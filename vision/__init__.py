"""Pixels → faces: detect, align, embed, judge. Imports nothing else of Footfall."""
