#!/usr/bin/env bash
# python -m pytest "$@", as `make test` runs it: no test waits for a disk, and no process compiles
# what another one has compiled.  To look at what a failed test left, run pytest itself.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE
needed_kib=$((6 << 20))
free_kib=$(df --output=avail -k /dev/shm 2> /dev/null | tail -1 || true)
if [ -z "${TMPDIR:-}" ] && [ "${free_kib:-0}" -gt "$needed_kib" ]; then
  TMPDIR=$(mktemp -d -p /dev/shm wsi-ai-tests-XXXXXX)
  export TMPDIR
  chmod 755 "$TMPDIR" # PostgreSQL's account looks for its folder in it
  trap 'rm -rf "$TMPDIR"' EXIT
fi
.venv/bin/python -m compileall -q -j 0 wsi_ai
.venv/bin/python -m pytest -o tmp_path_retention_policy=failed "$@"
