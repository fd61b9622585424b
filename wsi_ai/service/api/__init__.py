"""The API for programs, version 1: what they ask, and what they are answered."""
