"""Which of a machine's devices runs a model fastest: measured once, kept, and looked up."""
