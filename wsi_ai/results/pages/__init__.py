"""Pages for people: a report for each slide, and an index of all of them."""
