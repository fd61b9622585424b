"""The report of a pooled trial: one page of HTML that needs nothing else."""
