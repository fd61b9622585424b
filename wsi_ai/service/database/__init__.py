"""What the service keeps, beside the outbox and in the same database."""
