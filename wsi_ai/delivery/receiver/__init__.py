"""A small receiver, to copy from: it verifies, deduplicates, keeps the newest revision of each
flag, and serves a worklist.  It knows nothing of how the sender works, only what docs/receiving.md
says."""
