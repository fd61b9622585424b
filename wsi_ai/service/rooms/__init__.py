"""People who look at one slide together: their notes, and where they are looking."""
