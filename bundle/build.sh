#!/usr/bin/env bash
# All that a site without internet needs, in one folder: wheels, demo model, settings to copy, checksums.
#
#   bundle/build.sh [FOLDER]       on a machine with internet; by default build/bundle
#
# Wheels are of this machine's kind and Python: build it on what the site has.  EXTRAS=cpu,service
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(command -v python3.11 || command -v python3)}
extras=${EXTRAS:-cpu,service}
to=$(realpath -m "${1:-build/bundle}")
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

rm -rf "$to"
mkdir -p "$to/wheels"
"$python" -m venv "$tools"
pip=("$tools/bin/pip" --disable-pip-version-check --quiet)
"${pip[@]}" wheel --no-deps --wheel-dir "$to/wheels" .
"${pip[@]}" download --only-binary :all: --constraint constraints.txt --dest "$to/wheels" \
  "$(echo "$to"/wheels/wsi_ai-*.whl)[$extras]"

cp -r models/demo-tumour configs constraints.txt LICENSE "$to"
cp bundle/install.sh bundle/README.md "$to"
echo "$extras" > "$to/EXTRAS"
"$python" -c 'import platform, sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine())' \
  > "$to/BUILT_FOR"
(cd "$to" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS)
echo "$to: $(find "$to/wheels" -name '*.whl' | wc -l) wheels, $(du -sh "$to" | cut -f1)"
