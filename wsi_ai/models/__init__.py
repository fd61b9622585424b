"""A model's folder: card, weights, signature, golden tiles; the site's store; new cards' drafts."""
