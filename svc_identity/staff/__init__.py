"""Those who work here: recognised at their sites, and left out of the counts."""
