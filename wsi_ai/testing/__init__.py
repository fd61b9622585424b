"""Shipped for plug-in authors: contracts as test classes, and doubles that hold to them."""
