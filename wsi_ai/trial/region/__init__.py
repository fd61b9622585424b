"""What a group of sites makes of its bundles: one result, and what it does not show."""
