#!/usr/bin/env bash
# Everything that needs a CUDA device, in stages: each by itself, all in under 10 minutes.
#
#     benchmarks/gpu.sh [--out FOLDER] [--wheels FOLDER] [--slides FOLDER] [STAGE...]
#
# checks   kernel codec tests blocking sanitizer
# figures  rates networks end-to-end
#
# FOLDER of wheels: what is missing is installed from it, without a network and without what it asks
# for.  A stage that lacks a library says which, and the next one goes on; a stage that fails says
# so, and is told of at the end.  No figure is written that was not measured.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
python="${PYTHON:-python3}"
out=gpu-results wheels='' slides=../shared/data/slides
known=(kernel codec tests blocking sanitizer rates networks end-to-end)
stages=()
while (($#)); do
    case "$1" in
        --out) out="$2" && shift ;;
        --wheels) wheels="$2" && shift ;;
        --slides) slides="$2" && shift ;;
        --help | -h) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
        -*) echo "no such option: $1" >&2 && exit 2 ;;
        *)
            [[ " ${known[*]} " == *" $1 "* ]] || { echo "no such stage: $1; there are: ${known[*]}" >&2 && exit 2; }
            stages+=("$1")
            ;;
    esac
    shift
done
((${#stages[@]})) || stages=("${known[@]}")
mkdir -p "$out"
export WSI_AI_REQUIRE_GPU=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
failed=() absent=()

install_wheels() { # what is not installed yet, and nothing else
    local wheel name
    for wheel in "$wheels"/*.whl; do
        name="$(basename "$wheel")"
        name="${name%%-*}"
        "$python" -c "import importlib.metadata as m; m.version('$name')" 2>/dev/null ||
            "$python" -m pip install --quiet --no-deps --no-index "$wheel" ||
            echo "== could not install $name" >&2
    done
    # The entry points of readers and runtimes are read from what is installed.
    "$python" -c "import importlib.metadata as m; m.version('wsi-ai')" 2>/dev/null ||
        "$python" -m pip install --quiet --no-deps --no-index --no-build-isolation --editable . ||
        echo "== wsi-ai itself is not installed: no reader and no runtime will be found" >&2
}

missing() { # missing MODULE...: the first that is not here, on stdout
    local module
    for module in "$@"; do
        "$python" -c "import $module" 2>/dev/null || { echo "$module" && return; }
    done
}

stage() { # stage SECONDS NAME 'MODULES' COMMAND...
    local limit="$1" name="$2" needs="$3" lacks code
    shift 3
    # shellcheck disable=SC2086
    lacks="$(missing $needs)"
    if [[ -n "$lacks" ]]; then
        echo "== $name: not here: $lacks is not installed"
        absent+=("$name ($lacks)")
        return
    fi
    echo "== $name: $*"
    timeout "$limit" "$@" >"$out/$name.log" 2>&1
    code=$?
    grep '^{' "$out/$name.log" >"$out/$name.jsonl" || rm -f "$out/$name.jsonl"
    tail -n 12 "$out/$name.log"
    case $code in
        0) ;;
        3) absent+=("$name") ;;
        124) failed+=("$name (longer than $limit s)") ;;
        *) failed+=("$name") ;;
    esac
}

run_stage() {
    local check="benchmarks/device_check.py"
    local on_device="tests/inference/gpu/test_on_device.py"
    local host='cv2 imagecodecs simplejpeg PIL' # what the host's own pixels take
    case "$1" in
        kernel) stage 60 kernel "cupy $host" "$python" $check kernel ;;
        codec) stage 60 codec "cupy nvidia.nvimgcodec $host" "$python" $check codec ;;
        tests) stage 80 tests "pytest hypothesis cupy onnxruntime $host" "$python" -m pytest -q $on_device ;;
        # With every launch awaited: whatever passes only so is a race.
        blocking) stage 50 blocking "pytest hypothesis cupy onnxruntime $host" env CUDA_LAUNCH_BLOCKING=1 "$python" -m pytest -q $on_device ;;
        sanitizer)
            if ! command -v compute-sanitizer >/dev/null; then
                echo "== sanitizer: not here: compute-sanitizer is not installed"
                absent+=("sanitizer (compute-sanitizer)")
            else
                stage 60 sanitizer "cupy $host" compute-sanitizer --error-exitcode 1 \
                    "$python" $check kernel --cases 20
            fi
            ;;
        rates) stage 60 rates "cupy nvidia.nvimgcodec tifffile $host" "$python" $check rates --slides "$slides" ;;
        networks) stage 70 networks "torch cupy timm $host" "$python" benchmarks/infer_cuda.py --json --rounds 3 --batches 128 ;;
        end-to-end) stage 130 end-to-end "torch cupy timm openslide tifffile $host" "$python" benchmarks/device_figures.py --slides "$slides" --seconds 4 ;;
    esac
}

[[ -n "$wheels" ]] && install_wheels
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>/dev/null | tee "$out/device.csv" ||
    echo "== nvidia-smi is not here"
"$python" -m pip list --format=freeze >"$out/versions.txt" 2>/dev/null
for name in "${stages[@]}"; do
    run_stage "$name"
done
echo "== done: $out"
((${#absent[@]})) && printf '== not here: %s\n' "${absent[@]}"
((${#failed[@]})) && printf '== failed: %s\n' "${failed[@]}"
((${#failed[@]} == 0))
