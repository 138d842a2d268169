"""The keys of machines: workers and integrations."""
