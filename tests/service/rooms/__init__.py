"""Rooms: notes and presence on a slide."""
