#!/bin/bash
# The CUDA backend on a real device, by one command, in about nine minutes:
#
#     tests/gpu/check.sh [OUT]
#
# every operation, stored format and golden; compute-sanitizer on a part; then speed beside
# the device's peaks and beside transformers with hooks, as OUT/check.md and OUT/check.json
# (OUT: build-gpu/check). Needs nvcc's cuBLAS, and for the comparison PYTHON with torch,
# transformers and h5py. Where HDF5, jansson and the others are not installed, run
# `make gpu-pack` on a machine that has them and bring build-gpu/pack.tar.gz along.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${BUILD:-build-gpu}
OUT=${1:-$B/check}
PYTHON=${PYTHON:-python3}
LAYERS=${LAYERS:-4} # of the larger model: as many as memory for files has room for
WORK=${WORK:-/tmp/ol-gpu-check}
export LD_LIBRARY_PATH="$PWD/$B/lib:${CUDA_HOME:-/usr/local/cuda}/lib64:${LD_LIBRARY_PATH:-}"
mkdir -p "$OUT" "$WORK"
[ -x "$B/gpu/test_operations" ] || [ ! -e "$B/pack.tar.gz" ] || tar -xzf "$B/pack.tar.gz" || exit 1
[ -x "$B/gpu/test_operations" ] || make gpu-pack || exit 1

failed=0 table='' json=''
# row KEY NAME VALUE NOTE: a line of the table and a member of the object.
row() {
    table="$table| $2 | $3 | $4 |
"
    json="$json${json:+,
}  \"$1\": {\"name\": \"$2\", \"value\": \"$3\", \"note\": \"$4\"}"
    printf '%-52s %14s  %s\n' "$2" "$3" "$4"
}

peaks=$("$B/gpu/peaks") || { echo "check.sh: no CUDA device can be used here" >&2; exit 1; }
IFS='|' read -r device link product <<<"$peaks"
row device "device" "$device" ""
row link "copies to the device, pinned" "$link GB/s" ""
row product "cuBLAS bf16, 8192 cubed" "$product TFLOP/s" ""

# ---- right ----

for test in test_feeding test_operations test_mixer_operations test_cuda_kernels test_digest test_dequant test_forward; do
    [ -x "$B/gpu/$test" ] || continue
    CMOCKA_MESSAGE_OUTPUT=TAP timeout 200 "$B/gpu/$test" >"$OUT/$test.log" 2>&1
    status=$?
    ok=$(grep -c '^ok ' "$OUT/$test.log")
    bad=$(grep -c '^not ok ' "$OUT/$test.log")
    [ "$status" -eq 0 ] || failed=1
    row "$test" "$test" "$ok passed" "$bad failed, exit status $status"
done
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
        timeout 90 compute-sanitizer --tool $tool --error-exitcode 9 \
            "$B/gpu/test_mixer_operations" >"$OUT/$tool.log" 2>&1
        status=$?
        [ "$status" -eq 0 ] || failed=1
        row "$tool" "compute-sanitizer $tool" "exit status $status" "delta net, convolution, rope, gather, glu"
    done
fi

# ---- fast ----

ids() { # FILE VOCABULARY
    awk -v v="$2" 'BEGIN { srand(3); for (s = 0; s < 16; s++) { line = "";
        for (t = 0; t < 2048; t++) line = line " " int(rand() * v); print line } }' >"$1"
}
now() { date +%s.%N; }
calculate() { awk "BEGIN { printf \"%.2f\", $1 }"; }

# receipt KEY NAME LOG: what the run itself says it waited for.
receipt() {
    line=$(grep 'to and from the device' "$3" | sed 's/^ol-extract: //' | tr -d '"')
    [ -z "$line" ] || row "$1_receipt" "$2, the run's receipt" "$(sed -n 's/.*device (\([0-9.]* GB.s\)).*/\1/p' <<<"$line")" "$line"
}

# several KEY NAME: the same run on all devices, where there are several: the same bytes?
several() {
    local n=1 list took differ
    command -v nvidia-smi >/dev/null && n=$(nvidia-smi -L | grep -c '^GPU')
    [ "$n" -gt 1 ] || return
    list=$(seq -s , 0 $((n - 1)))
    start=$(now)
    if ! "$B/ol-extract" "$WORK/$1" --ids "$WORK/ids" --backend cuda --devices "$list" -o "$WORK/several.h5" >/dev/null 2>"$OUT/$1-several.log"; then
        failed=1
        row "$1_several" "$2, $n devices" "failed" "$(tail -n 1 "$OUT/$1-several.log" | tr -d '"')"
        return
    fi
    took=$(calculate "$(now) - $start")
    differ=$("$PYTHON" - "$WORK/run.h5" "$WORK/several.h5" 2>/dev/null <<'PY'
import h5py, sys
a, b = (h5py.File(name) for name in sys.argv[1:])
names = []
a.visititems(lambda name, x: names.append(name) if isinstance(x, h5py.Dataset) else None)
print(sum(a[n][()].tobytes() != b[n][()].tobytes() for n in names), "of", len(names))
PY
    )
    row "$1_several" "$2, $n devices" "$took s" "${differ:-an unknown number of} datasets differ from one device's"
    rm -f "$WORK/several.h5"
}

# speed KEY NAME VOCABULARY: ours twice (the second with warm files), then transformers.
speed() {
    dir=$WORK/$1 bytes=$(cat "$WORK/$1"/*.safetensors | wc -c)
    ids "$WORK/ids" "$3"
    for run in first second; do
        rm -f "$WORK"/run.h5*
        start=$(now)
        if ! "$B/ol-extract" "$dir" --ids "$WORK/ids" --backend cuda -o "$WORK/run.h5" >/dev/null 2>"$OUT/$1-$run.log"; then
            failed=1
            row "$1" "$2, ol-extract" "failed" "$(tail -n 1 "$OUT/$1-$run.log" | tr -d '"')"
            return
        fi
        ours=$(calculate "$(now) - $start")
        row "$1_$run" "$2, ol-extract, $run run" "$ours s" "$(calculate "32768 / $ours") tokens/s, $(calculate "$bytes / $ours / 1e9") GB/s of weights"
    done
    receipt "$1" "$2" "$OUT/$1-second.log"
    several "$1" "$2"
    "$PYTHON" -c 'import torch, transformers, h5py' 2>/dev/null || return
    start=$(now)
    if timeout 150 "$PYTHON" tests/bench/transformers_hooks.py "$dir" "$WORK/ids" "$WORK/hooks.h5" bf16 0 cuda >"$OUT/$1-transformers.log" 2>&1; then
        theirs=$(calculate "$(now) - $start")
        row "$1_transformers" "$2, transformers with hooks" "$theirs s" "$(calculate "$theirs / $ours") times as long"
    else
        row "$1_transformers" "$2, transformers with hooks" "not measured" "see $1-transformers.log"
    fi
    rm -f "$WORK/hooks.h5"
}

config() { # MODEL LAYERS: its config with so many layers
    "$PYTHON" -c 'import json, sys
c = json.load(open("data/models/" + sys.argv[1] + ".json"))["config"]
c["num_hidden_layers"] = int(sys.argv[2])
print(json.dumps(c))' "$1" "$2" >"$WORK/config.json"
}

config olmoe-1b-7b-0125 16
"$B/tests/make_checkpoint" "$WORK/config.json" "$WORK/olmoe" >/dev/null && speed olmoe "OLMoE-1B-7B shape, 16 x 2048 tokens" 50304
rm -rf "$WORK/olmoe"
config qwen3-30b-a3b "$LAYERS"
"$B/tests/make_checkpoint" "$WORK/config.json" "$WORK/qwen3" >/dev/null && speed qwen3 "Qwen3-30B-A3B shape, $LAYERS layers, 16 x 2048 tokens" 151936
rm -rf "$WORK"

{
    printf '| measured on %s | value | |\n|---|---:|---|\n%s' "$device" "$table"
} >"$OUT/check.md"
printf '{\n%s\n}\n' "$json" >"$OUT/check.json"
[ "$failed" -eq 0 ] && echo "all passed: $OUT/check.md" || echo "FAILED: see $OUT"
exit "$failed"
