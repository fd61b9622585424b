"""What a model is worth, for whom, and what the queue gains; needs the extra ``trial``."""
