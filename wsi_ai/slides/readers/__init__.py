"""File → Slide.  One module per family of formats, each an entry point in ``wsi_ai.readers``."""
