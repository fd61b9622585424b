"""The service as programs that run: one app, its health and figures, and all roles on one box."""
