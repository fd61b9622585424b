"""What leaves the building: messages, outbox, relay, sinks, audit; and a receiver to copy from."""
