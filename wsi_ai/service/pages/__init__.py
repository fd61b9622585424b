"""Pages for the people of a service: worklist, queue and administration.

Each is made whole on the server and works without script; one script of its own keeps it as it is.
"""
