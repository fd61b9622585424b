"""Which tiles, in which order, and their pixels in batches."""
