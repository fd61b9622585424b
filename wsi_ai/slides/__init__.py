"""Which slides, whose they are, and each of them open: readers, codecs, inputs, identity."""
