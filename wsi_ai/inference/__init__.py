"""Batches of tiles → predictions.  Runtimes are entry points in ``wsi_ai.runtimes``."""
