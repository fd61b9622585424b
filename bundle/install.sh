#!/usr/bin/env bash
# Install wsi-ai from this folder, without a network.
#
#   ./install.sh [FOLDER]     by default ~/wsi-ai; then FOLDER/bin/wsi-ai --help
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=$(realpath -m "${1:-$HOME/wsi-ai}")
read -r version machine < "$here/BUILT_FOR"

(cd "$here" && sha256sum --check --strict --quiet SHA256SUMS) || {
  echo "install: a file is not what was bundled; copy the folder again" >&2
  exit 1
}
python=${PYTHON:-$(command -v "python$version" || true)}
if [ -z "$python" ] || [ "$(uname -m)" != "$machine" ]; then
  echo "install: this bundle is for Python $version on $machine; install that Python, or set PYTHON" >&2
  exit 1
fi
"$python" -m venv "$to"
PIP_CONFIG_FILE=/dev/null "$to/bin/pip" --disable-pip-version-check --quiet install --no-index \
  --find-links "$here/wheels" --constraint "$here/constraints.txt" "wsi-ai[$(cat "$here/EXTRAS")]"
"$to/bin/wsi-ai" --version
echo "Try it:"
echo "  $to/bin/wsi-ai demo-slide slide.svs --tumour"
echo "  $to/bin/wsi-ai run slide.svs --model $here/demo-tumour --out results"
