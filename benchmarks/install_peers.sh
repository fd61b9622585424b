#!/bin/sh
# Installs the programs that benchmarks/read.py and benchmarks/run.py compare with, each into an environment of its own:
#     sh benchmarks/install_peers.sh [FOLDER [NAME...]]     (default: ../peers, all of them)
# Each takes some 6 GB, most of it torch, and a few minutes.  Names: reading wsinfer tiatoolbox lazyslide slide2vec.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-../peers}
[ $# -eq 0 ] || shift
names=${*:-reading wsinfer tiatoolbox lazyslide slide2vec}
python=${PYTHON:-python3.11}
torch='torch==2.14.1'
vision='torchvision==0.29.1'
mkdir -p "$folder"
install() {
    name=$1
    shift
    [ -x "$folder/$name/bin/python" ] || "$python" -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}
for name in $names; do
    case $name in
    reading) # beside this checkout, in one process: FOLDER/reading/bin/python benchmarks/read.py BIG.svs
        install reading -e "$here" "$torch" 'openslide-python==1.4.7' 'openslide-bin==4.0.1.2' \
            'cucim-cu12==26.6.0' 'tiffslide==3.0.1' 'fastslide==0.8.1' 'pyvips[binary]==3.2.0' \
            'pyvips-binary==8.18.7' 'wsidicom==0.36.1' ;;
    wsinfer) # 0.6.1 needs the zarr of before version 3
        install wsinfer 'wsinfer==0.6.1' 'wsinfer-zoo==0.6.3' 'tiffslide==2.5.1' 'zarr==2.18.7' \
            'numcodecs==0.15.2' 'tifffile==2025.5.10' "$torch" "$vision" ;;
    tiatoolbox) # it asks for torch below 2.13 itself
        install tiatoolbox 'tiatoolbox==2.1.3' ;;
    lazyslide)
        install lazyslide 'lazyslide==0.13.0' 'wsidata==0.12.0' 'openslide-bin==4.0.1.2' "$torch" "$vision" ;;
    slide2vec) # it asks for numpy below 2 itself
        install slide2vec 'slide2vec==7.1.4' 'hs2p==6.1.0' "$torch" "$vision" ;;
    *)
        echo "no such peer: $name" >&2
        exit 2 ;;
    esac
done
