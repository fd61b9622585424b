"""The canonical flag in other systems' formats: a flag in, bytes out, and the same read back.
Pure."""
