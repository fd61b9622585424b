"""Messages go out: one module a road.  Each opens by ``open_sink(endpoint) -> Sink``."""
