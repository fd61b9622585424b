"""Which model judges which slide."""
