"""What a slide, and a run, leave on the disk: for people and for other programs."""
