"""The people who were seen: who they are today, and the housekeeping that keeps their record true."""
