"""Pixels → faces: detect, align, embed, judge. Used by edge_agent and svc_identity; imports nothing else of Footfall."""
