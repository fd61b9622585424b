"""TileBatch… → Predictions…, on the host.  Each an entry point in ``wsi_ai.runtimes``."""
