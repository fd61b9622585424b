"""Slides in an object store, or behind HTTPS: copied to a disk first, or read where they are."""
