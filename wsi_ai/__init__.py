"""AI on whole-slide images: tiles in, heatmaps and triage flags out."""
