"""Several devices: a process each, pulling slides from one queue."""

from wsi_ai.fleet.fleet import Fleet

__all__ = ["Fleet"]
