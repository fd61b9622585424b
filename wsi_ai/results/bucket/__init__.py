"""Results in an object store: each run's files whole, and one object that names the current run."""
