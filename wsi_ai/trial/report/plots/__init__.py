"""Plots of a trial, as SVG; each has its table beside it."""
