"""The list that pathologists work: its lines, who acknowledged them, whether it may lack any."""
