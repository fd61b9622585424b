"""How fast each stage is beside its limit, and how much hardware a load wants: computed, before any
is bought."""
