#!/usr/bin/env bash
# The bundle installs and runs with the network off, from its wheel alone; a changed file stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
bundle/build.sh "$place/bundle"
off=(env PIP_NO_INDEX=1)
if unshare --net true 2> /dev/null; then
  off+=(unshare --net)
elif unshare --user --net true 2> /dev/null; then
  off+=(unshare --user --map-root-user --net)
else
  echo "bundle: no namespace without network here; pip alone is kept from it"
fi
cd "$place"
"${off[@]}" bundle/install.sh "$place/installed"
"${off[@]}" installed/bin/python - << 'PYTHON'
import pathlib, sys, wsi_ai.app
assert pathlib.Path(wsi_ai.app.__file__).is_relative_to(sys.prefix), wsi_ai.app.__file__
PYTHON
"${off[@]}" installed/bin/wsi-ai demo-slide slide.svs --tumour --size 2048
"${off[@]}" installed/bin/wsi-ai run slide.svs --model bundle/demo-tumour --out results
test -s results/summary.csv
test -s results/slide-*/demo-tumour-*/overlay.png
echo '# changed' >> bundle/constraints.txt
if bundle/install.sh "$place/second" 2> refused; then
  echo "bundle: a changed file was installed" >&2
  exit 1
fi
grep -q 'not what was bundled' refused
echo "bundle: installs and runs without a network; a changed file is refused"
