"""A slide in small, before any tile is read: thumbnail, tissue, quality."""
