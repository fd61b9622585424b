"""A run: slides in, results out; on one device or several, by one model or several."""
