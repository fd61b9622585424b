"""The nouns and the contracts, with numpy and the standard library only.

In reading order: geometry, cards, values, flags, contracts.
"""
