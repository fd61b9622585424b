"""Slides in TIFF, whoever made the scanner."""
