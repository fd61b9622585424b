"""Several devices: a process each, pulling slides from one queue."""
