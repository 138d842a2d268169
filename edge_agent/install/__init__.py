"""Unit files that keep an agent running: systemd on Linux, launchd on macOS."""
