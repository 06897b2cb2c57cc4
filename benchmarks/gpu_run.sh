#!/usr/bin/env bash
# What a GPU does with this project, in at most nine minutes from a fresh clone: benchmarks/gpu_run.py says what is measured.
#
#   benchmarks/gpu_run.sh                             # one NVIDIA H200; installs into runs/gpu/venv
#   benchmarks/gpu_run.sh --peak_tflops 312           # another GPU: its dense bfloat16 peak, or the MFU means nothing
#   benchmarks/gpu_run.sh --tiny --python .venv/bin/python   # tiny shapes on a CPU, with what is installed
#
# A machine without a network takes the packages from wheels/ in the checkout. Made on one with a network, and the same
# system and Python:
#   pip wheel --wheel-dir wheels -c constraints.txt '.[train,edit,demo,diffusion]' 'vllm==0.31.0' hatchling editables
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
started=$(date +%s)
python=""
work="runs/gpu"
rest=()
while [ $# -gt 0 ]; do
    case "$1" in
        --python) python="$2"; shift 2 ;;
        --work) work="$2"; shift 2 ;;
        *) rest+=("$1"); shift ;;
    esac
done
mkdir -p "$work" || exit 1
if [ -z "$python" ]; then
    python="$work/venv/bin/python"
    from=()
    [ -d wheels ] && from=(--no-index --find-links wheels)
    # Two minutes for the packages; the rest of the time is for measuring.
    if ! { python3 -m venv "$work/venv" \
        && timeout 150 "$python" -m pip install --quiet "${from[@]}" -c constraints.txt -e '.[train,edit,demo,diffusion]'; }; then
        echo "error: the packages could not be installed; put them in wheels/ (see the head of this file)" >&2
        exit 1
    fi
    timeout 100 "$python" -m pip install --quiet "${from[@]}" 'vllm==0.31.0' \
        || echo "vLLM could not be installed: its part will be left out" >&2
fi
exec "$python" benchmarks/gpu_run.py --work "$work" --spent "$(($(date +%s) - started))" "${rest[@]}"
