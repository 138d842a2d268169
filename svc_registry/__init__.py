"""The registry: who may do what, where the cameras hang, and which worker watches which."""
