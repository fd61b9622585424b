"""The statistics of a trial.  Pure: arrays and counts in, estimates with intervals out."""
