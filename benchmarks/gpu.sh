#!/usr/bin/env bash
# Everything that needs a CUDA device, in one go: tests, sanitizer, parity, figures.
#
#     benchmarks/gpu.sh [OUT]        OUT: where the logs and gpu.jsonl go (gpu-results)
#
# Set everything up first:  pip install -e '.[cuda,torch,openvino,test]' onnx onnxscript
# The first failing check ends it; its log says why.  No figure is written that was not measured.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-gpu-results}"
python="${PYTHON:-python}"
mkdir -p "$out"
export WSI_AI_REQUIRE_GPU=1

step() { # step NAME COMMAND...: runs it, keeps its log, stops where it fails
    local name="$1"
    shift
    echo "== $name: $*"
    if ! "$@" >"$out/$name.log" 2>&1; then
        tail -n 30 "$out/$name.log"
        echo "== $name failed; see $out/$name.log" >&2
        exit 1
    fi
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/device.csv"
step versions "$python" -m pip list --format=freeze

# The same contract as on the host, the same scores, by every runtime.
step tests "$python" -m pytest tests/inference -q

# Once more under PyTorch's own detector of unsynchronised streams, in a process of its own: it looks
# at device tensors only, so the pinned buffers are held by the simulated device alone.
step sanitizer env TORCH_CUDA_SANITIZER=1 "$python" -m pytest tests/inference/gpu/test_on_device.py -q -k "Torch or torch"

# And with every launch awaited: whatever passes only so is a race.
step blocking env CUDA_LAUNCH_BLOCKING=1 "$python" -m pytest tests/inference/gpu/test_on_device.py -q

# A runtime that is refused here is a finding, not a failure: the table says which.
echo "== parity"
"$python" -m wsi_ai models verify models/demo-tumour | tee "$out/parity.log" || true

echo "== figures"
"$python" benchmarks/infer_cuda.py --json 2>"$out/figures.log" | tee "$out/gpu.jsonl"
# Without a device in sight, so that auto is the processor.
CUDA_VISIBLE_DEVICES='' "$python" benchmarks/infer.py --json 2>>"$out/figures.log" | tee "$out/host.jsonl"
echo "== done: $out"
