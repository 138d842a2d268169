"""What was seen and is not yet answered for: on disk before it is sent, and unreadable to whoever takes the disk."""
