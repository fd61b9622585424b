"""What may leave a trust about its patients: one door."""
