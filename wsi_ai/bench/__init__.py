"""How much hardware a load wants: computed, before any is bought."""
