"""How long a file has to be left alone before it counts as whole."""

QUIET_S = 10.0
