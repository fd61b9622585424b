"""A service around runs: jobs wait in a table, notices queue them, a worker runs them."""
