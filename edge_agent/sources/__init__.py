"""Where pictures come from: one port, and an adapter for each kind of camera and recording."""
