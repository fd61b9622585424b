"""Heatmap and flag → files for people and other programs."""
