#!/bin/sh
# Installs the programs that benchmarks/run.py compares with, each into an environment of its own:
#     sh benchmarks/install_peers.sh [FOLDER]        (default: ../peers; 12 GB, a few minutes)
set -eu
folder=${1:-../peers}
python=${PYTHON:-python3.11}
mkdir -p "$folder"
install() {
    [ -x "$folder/$1/bin/python" ] || "$python" -m venv "$folder/$1"
    shift_name=$1
    shift
    "$folder/$shift_name/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}
install wsinfer 'wsinfer==0.6.1' 'wsinfer-zoo==0.6.3' 'tiffslide==3.0.1' 'zarr==3.1.6' 'numpy==2.4.6' \
    'tifffile==2026.3.3' 'torch==2.14.1' 'torchvision==0.29.1'
install tiatoolbox 'tiatoolbox==2.1.3'  # it asks for torch below 2.13 itself
