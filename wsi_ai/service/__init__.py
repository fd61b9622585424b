"""The edges that serve: jobs that wait, what queues them, a worker, and the viewer."""
