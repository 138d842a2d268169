"""The shops, and the rules by which their visits are counted."""
