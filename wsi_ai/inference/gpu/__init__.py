"""The only home of CUDA.  Nothing here is imported but through the registry's entry points."""
