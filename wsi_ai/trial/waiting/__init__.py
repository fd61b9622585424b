"""What the queue gains: cases wait for readers, with and without flags.  Pure but for the draws."""
