"""One site's flags held to its reference, for the site's own eyes."""
