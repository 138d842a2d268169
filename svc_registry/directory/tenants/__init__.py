"""The companies whose shops are watched."""
