"""The edges that serve: the viewer, and what listens."""
