"""Slides in a browser, with the results on them: an ASGI app and one page.

``app.viewer`` is what ``wsi-ai view`` serves on this machine, and what a service mounts with its
own shelf of slides and its own rights.
"""
