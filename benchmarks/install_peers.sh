#!/bin/sh
# Installs the programs that benchmarks/run.py compares with, each into an environment of its own:
#     sh benchmarks/install_peers.sh [FOLDER]        (default: ../peers; 12 GB, a few minutes)
set -eu
folder=${1:-../peers}
python=${PYTHON:-python3.11}
mkdir -p "$folder"
install() {
    name=$1
    shift
    [ -x "$folder/$name/bin/python" ] || "$python" -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}
# WSInfer 0.6.1 needs the zarr of before version 3.
install wsinfer 'wsinfer==0.6.1' 'wsinfer-zoo==0.6.3' 'tiffslide==2.5.1' 'zarr==2.18.7' \
    'numcodecs==0.15.2' 'tifffile==2025.5.10' 'torch==2.14.1' 'torchvision==0.29.1'
install tiatoolbox 'tiatoolbox==2.1.3'  # it asks for torch below 2.13 itself
