"""Slides through the workers of a Dask cluster.  Needs the extra ``cluster``."""
