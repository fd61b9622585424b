"""Folders that scanners write to: slides in them become jobs by themselves."""
