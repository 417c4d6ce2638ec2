"""The client programs, one a variant; each runs in a process of its own and reports as JSON."""
