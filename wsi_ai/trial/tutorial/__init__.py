"""A made-up trial of 17 sites, to walk through: one site's slides are drawn and really run, the
others' sealed records are drawn."""
