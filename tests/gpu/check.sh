#!/bin/bash
# The CUDA backend on a real device, by one command, in about nine minutes once it is built:
#
#     tests/gpu/check.sh [STAGE...]
#
#     smoke      the device's peaks, streaming of weights, goldens of two families, one short run
#     speed      whole runs beside the device's peaks, and beside transformers with hooks
#     tests      every operation, stored format and golden
#     formats    FP4 and FP8 weights at full width, and DeepSeek-V3's width with --memory 8G
#     kernels    where the device's time goes in a layer, by ncu
#     sanitizer  compute-sanitizer's memcheck, racecheck and synccheck on a part
#
# Without a name, all in this order; what does not fit into the time left is left out and
# said. What is measured goes to OUT/check.md and OUT/check.json at once, the logs to
# OUT/logs.tar.gz after each stage and at the end, so that a run cut short loses no result.
#
# OUT (build-gpu/check), LIMIT (540 seconds in all), WORK (where 14 GB of files have room: /tmp),
# LAYERS (4: of the larger models), PYTHON (with torch, transformers and h5py, for the comparison).
# Where HDF5, jansson and the others are not installed, run `make gpu-pack` on a machine that
# has them and bring build-gpu/pack.tar.gz along.
# shellcheck disable=SC2317 # the stages are called by name
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${BUILD:-build-gpu}
OUT=${OUT:-$B/check}
PYTHON=${PYTHON:-python3}
LAYERS=${LAYERS:-4}
LIMIT=${LIMIT:-540}
[ -x "$B/gpu/test_operations" ] || [ ! -e "$B/pack.tar.gz" ] || tar -xzf "$B/pack.tar.gz" || exit 1
[ -x "$B/gpu/test_operations" ] || make gpu-pack || exit 1
SECONDS=0
mkdir -p "$OUT" "${WORK:=/tmp}" || exit 1
WORK=$(mktemp -d "$WORK/ol-gpu-check.XXXXXX") || exit 1
LOGS=$WORK/logs
mkdir "$LOGS" || exit 1

# Nobody finds half an archive, nor half an object.
pack() { tar -czf "$WORK/logs.tar.gz" -C "$WORK" logs && mv "$WORK/logs.tar.gz" "$OUT"; }
trap 'pack; rm -rf "$WORK"' EXIT

left() { echo $((LIMIT - SECONDS)); }
# within SECONDS: so many, or what is left of the time.
within() { echo $(($(left) < $1 ? $(left) : $1)); }
now() { date +%s.%N; }
calculate() { awk "BEGIN { printf \"%.2f\", $1 }"; }

# Where cuBLAS is: the toolkit's, or the one of Python's packages.
cublas=${CUDA_HOME:-/usr/local/cuda}/lib64
if ! ls "$cublas"/libcublas.so.* >/dev/null 2>&1 && ! ldconfig -p 2>/dev/null | grep -q libcublas.so; then
    cublas=$(dirname "$("$PYTHON" - 2>/dev/null <<'PY'
import glob, sysconfig
print(next(iter(sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib/libcublas.so.*"))), "/none/"))
PY
    )")
fi
# ours COMMAND...: with the libraries of the pack. torch brings its own.
ours() { LD_LIBRARY_PATH="$PWD/$B/lib:$cublas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$@"; }

# row KEY NAME VALUE NOTE: a line of the table and a member of the object.
failed=0 json=''
row() {
    local note=${4//|/,}
    note=${note//[\"\\]/}
    note=${note//[[:cntrl:]]/ }
    printf '| %s | %s | %s |\n' "$2" "$3" "$note" >>"$OUT/check.md"
    json="$json${json:+,
}  \"$1\": {\"name\": \"$2\", \"value\": \"$3\", \"note\": \"$note\"}"
    printf '{\n%s\n}\n' "$json" >"$WORK/check.json" && mv "$WORK/check.json" "$OUT"
    printf '%5d s  %-56s %16s  %s\n' "$SECONDS" "$2" "$3" "$note"
}
fail() {
    failed=1
    row "$@"
}
# fits SECONDS KEY NAME: whether there are so many left; else it is left out, and said.
fits() {
    [ "$(left)" -lt "$1" ] || return 0
    row "$2" "$3" "left out" "$(left) s were left"
    return 1
}

# last FILE: what a failed command said at last, short.
last() { tail -n 1 "$1" 2>/dev/null | cut -c 1-240; }

# ---- smoke ----

# unit TEST SECONDS [KEY FILTER]: a program of tests, all of it or those of a pattern.
unit() {
    local key=${3:-$1} name=$1${4:+ $4} log=$LOGS/${3:-$1}.log passed status say=row
    fits 20 "$key" "$name" || return
    [ -x "$B/gpu/$1" ] || { fail "$key" "$name" "not built" ""; return; }
    CMOCKA_MESSAGE_OUTPUT=TAP OL_TEST_FILTER=${4:-} ours timeout "$(within "$2")" "$B/gpu/$1" >"$log" 2>&1
    status=$?
    passed=$(grep -c '^ok ' "$log")
    [ "$status" -eq 0 ] && [ "$passed" -gt 0 ] || say=fail
    $say "$key" "$name" "$passed passed" "$(grep -c '^not ok ' "$log") failed, exit status $status$([ "$status" -eq 0 ] || echo ": $(grep -m1 -A3 '^not ok ' "$log" | tr '\n' ' ' | cut -c 1-200)")"
}

peaks() {
    local answer
    if ! answer=$(ours "$B/gpu/peaks" 2>"$LOGS/peaks.log"); then
        fail device "device" "none" "$(last "$LOGS/peaks.log")"
        echo "check.sh: no CUDA device can be used here: $(last "$LOGS/peaks.log")" >&2
        ours ldd "$B/gpu/peaks" >&2
        nvidia-smi >&2 || echo "check.sh: nvidia-smi does not answer either" >&2
        exit 1
    fi
    IFS='|' read -r device link product experts <<<"$answer"
    row device "device" "$device" "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 | sed 's/^/driver /'), $(nproc) cores"
    row link "copies to the device, pinned" "$link GB/s" ""
    row product "cuBLAS bf16, 8192 cubed" "$product TFLOP/s" ""
    row experts "cuBLAS bf16, experts of 1,000 rows on 8 streams" "$experts TFLOP/s" "$(calculate "100 * $experts / $product") % of that"
}

# config MODEL LAYERS: a model's config with so many layers, as WORK/config.json.
config() {
    "$PYTHON" -c 'import json, sys
c = json.load(open("data/models/" + sys.argv[1] + ".json"))["config"]
c["num_hidden_layers"] = int(sys.argv[2])
print(json.dumps(c))' "$1" "$2" >"$WORK/config.json"
}

# model MODEL LAYERS NAME: random weights of its shape, in WORK/NAME.
model() {
    config "$1" "$2" || return 1
    [ -e "$WORK/$3/config.json" ] || ours "$B/tests/make_checkpoint" "$WORK/config.json" "$WORK/$3" >"$LOGS/$3-make.log" 2>&1 && return
    fail "$3_make" "weights of $3" "failed" "$(last "$LOGS/$3-make.log")"
    return 1
}

# ids FILE VOCABULARY SEQUENCES: so many of 2048 random tokens.
ids() {
    awk -v v="$2" -v n="$3" 'BEGIN { srand(3); for (s = 0; s < n; s++) { line = "";
        for (t = 0; t < 2048; t++) line = line " " int(rand() * v); print line } }' >"$1"
}

# link_share LOG: of the rate of copies that `peaks` has found, while weights were copied.
link_share() {
    local rate
    rate=$(sed -n 's/.* carried weights for .* at \([0-9.]*\) GB.s;.*/\1/p' "$1")
    [ -z "$rate" ] || [ -z "${link:-}" ] || echo "($(calculate "100 * $rate / $link") % of the link)"
}

# run KEY NAME MODEL OPTION...: ol-extract on WORK/ids; its time to `took`.
run() {
    local key=$1 name=$2 dir=$WORK/$3 log=$LOGS/$1.log start status
    shift 3
    rm -f "$WORK"/run.h5*
    fits 10 "$key" "$name" || return
    start=$(now)
    ours timeout "$(left)" "$B/ol-extract" "$dir" --ids "$WORK/ids" --backend cuda -o "$WORK/run.h5" "$@" >"$log" 2>&1
    status=$?
    case $status in
    0) took=$(calculate "$(now) - $start")
       row "$key" "$name" "$took s" "$(grep -E 'to and from the device|carried weights' "$log" | sed 's/^ol-extract: //' | tr '\n' ' ')$(link_share "$log")" ;;
    124) row "$key" "$name" "ran out of time" "" ;;
    *) fail "$key" "$name" "failed" "$(last "$log")" ;;
    esac
    return "$status"
}

smoke() {
    peaks
    unit test_feeding 60
    unit test_forward 60 golden_qwen3_moe 'qwen3_moe cuda *'
    unit test_forward 60 golden_gpt_oss 'gpt_oss cuda *'
    model qwen3-30b-a3b 1 qwen3-1 || return
    ids "$WORK/ids" 151936 2
    run smoke_run "Qwen3-30B-A3B shape, 1 layer, 2 x 2048 tokens" qwen3-1 &&
        shares smoke_run "Qwen3-30B-A3B shape, 1 layer" qwen3-1
    rm -rf "$WORK/qwen3-1"
}

# ---- tests ----

tests() {
    for test in test_operations test_router_operations test_observed_operations test_mixer_operations test_cuda_kernels test_digest test_dequant test_forward; do
        unit "$test" 120
    done
}

# ---- speed ----

# several KEY NAME MODEL: the same run on all devices, where there are several: the same bytes?
# `took` stays that of one.
several() {
    local n=1 list differ took
    command -v nvidia-smi >/dev/null && n=$(nvidia-smi -L | grep -c '^GPU')
    [ "$n" -gt 1 ] || return
    list=$(seq -s , 0 $((n - 1)))
    mv "$WORK/run.h5" "$WORK/one.h5"
    run "$1_several" "$2, $n devices" "$3" --devices "$list" || return
    differ=$("$PYTHON" - "$WORK/one.h5" "$WORK/run.h5" 2>/dev/null <<'PY'
import h5py, sys
a, b = (h5py.File(name) for name in sys.argv[1:])
names = []
a.visititems(lambda name, x: names.append(name) if isinstance(x, h5py.Dataset) else None)
print(sum(a[n][()].tobytes() != b[n][()].tobytes() for n in names), "of", len(names))
PY
    )
    row "$1_several_bytes" "$2, datasets that differ from one device's" "${differ:-unknown}" ""
    rm -f "$WORK/one.h5"
}

# shares KEY NAME MODEL: the rows of each half of the sequences alone, as two devices would have
# them, beside WORK/run.h5 of all of them: the same bytes?
shares() {
    local all=$WORK/ids half
    half=$(($(wc -l <"$all") / 2))
    mv "$WORK/run.h5" "$WORK/one.h5"
    mv "$all" "$WORK/all"
    for share in first second; do
        if [ "$share" = first ]; then head -n "$half" "$WORK/all" >"$all"; else tail -n "$half" "$WORK/all" >"$all"; fi
        run "$1_$share" "$2, $share half alone" "$3" || break
        row "$1_${share}_bytes" "$2, rows of the $share half that differ" "$("$PYTHON" - "$WORK/one.h5" "$WORK/run.h5" "$share" 2>&1 <<'PY' | tail -n 1
import h5py, sys
a, b = (h5py.File(name) for name in sys.argv[1:3])
n, rows, differ = len(b["input/lengths"]), 0, 0
for layer in b["layers"].values():
    for name, table in layer.items():
        if isinstance(table, h5py.Dataset):
            first = n if sys.argv[3] == "second" else 0
            x, y = (t.reshape(t.shape[0] * t.shape[1], -1) for t in (a[table.name][first:first + n], table[()]))
            rows += len(x)
            differ += sum(p.tobytes() != q.tobytes() for p, q in zip(x, y))
print(differ, "of", rows)
PY
        )" "on two devices likewise"
    done
    mv "$WORK/all" "$all"
    rm -f "$WORK/one.h5"
}

# agreement: what both wrote, the last layer's the furthest apart.
agreement() {
    local agreed=0
    while IFS='|' read -r name value note; do
        row "agreement_$((agreed += 1))" "$name" "$value" "$note"
    done < <("$PYTHON" tests/gpu/agreement.py "$WORK/run.h5" "$WORK/hooks.h5" 2>"$LOGS/agreement.log" ||
        echo "agreement with transformers|not measured|$(last "$LOGS/agreement.log")")
}

# hooks KEY NAME MODEL HOW SECONDS: transformers, by hooks; beside `took` of ours.
hooks() {
    local start theirs log=$LOGS/$1.log
    fits 60 "$1" "$2" || return
    "$PYTHON" -c 'import torch, transformers, h5py' 2>"$log" || { row "$1" "$2" "not measured" "$(last "$log")"; return; }
    start=$(now)
    if timeout "$(within 120)" "$PYTHON" tests/bench/transformers_hooks.py "$WORK/$3" "$WORK/ids" "$WORK/hooks.h5" bf16 0 cuda "$4" >"$log" 2>&1; then
        theirs=$(calculate "$(now) - $start")
        [ "$4" != fair ] || agreement
        row "$1" "$2" "$theirs s" "$(calculate "$theirs / $took") times as long; $(last "$log")"
    else
        row "$1" "$2" "not measured" "$(last "$log")"
    fi
    rm -f "$WORK/hooks.h5"
}

# cold KEY NAME FOLDER: its files leave the machine's memory; else that is said.
cold() {
    local file there
    sync
    for file in "$WORK/$3"/*; do dd if="$file" iflag=nocache count=0 2>/dev/null; done
    { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null
    there=$(fincore -b -n -o RES "$WORK/$3"/* 2>/dev/null | awk '{ n += $1 } END { printf "%.0f", n / 1e6 }')
    [ "${there:-0}" -lt 500 ] && return
    row "$1" "$2" "not measured" "$there MB stay in memory"
    return 1
}

speed() {
    local what
    model qwen3-30b-a3b "$LAYERS" qwen3 || return
    ids "$WORK/ids" 151936 16
    what="Qwen3-30B-A3B shape, $LAYERS layers, 16 x 2048 tokens"
    run qwen3_first "$what" qwen3
    run qwen3_second "$what, again" qwen3
    run qwen3_summaries "$what, --store none" qwen3 --store none
    run qwen3_8g "$what, --memory 8G" qwen3 --memory 8G
    cold qwen3_cold "$what, from the disk" qwen3 && run qwen3_cold "$what, from the disk" qwen3
    run qwen3_last "$what, again" qwen3 || return
    several qwen3 "$what" qwen3
    hooks qwen3_hooks "$what, transformers, hooks kept on the device" qwen3 fair
    hooks qwen3_hooks_usual "$what, transformers, hooks as usually written" qwen3 usual
    rm -rf "$WORK/qwen3"
}

# ---- formats ----

# quantised NAME FAMILY LAYERS: random codes of its shape, in WORK/NAME.
quantised() {
    "$PYTHON" tests/bench/make_quantised.py "$2" "$WORK/$1" "$3" 2>"$LOGS/$1-make.log" && return
    rm -rf "${WORK:?}/$1"
    row "$1_make" "weights of $1" "not made" "$(last "$LOGS/$1-make.log")"
    return 1
}

# The larger is written (12 GB) and read only where there is time for both.
formats() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || { row formats "stored formats at full width" "not measured" "Python has no numpy"; return; }
    ids "$WORK/ids" 8192 4
    if quantised gpt-oss gpt_oss 2; then
        run fp4_first "gpt-oss-20b shape, MXFP4, 2 layers, 4 x 2048 tokens" gpt-oss --store none
        run fp4 "gpt-oss-20b shape, MXFP4, again" gpt-oss --store none
    fi
    rm -rf "$WORK/gpt-oss"
    fits 150 fp8 "DeepSeek-V3 shape, FP8" || return
    if quantised deepseek deepseek_v3 2; then
        run fp8_first "DeepSeek-V3 shape, FP8, 1 dense and 1 MoE layer, 4 x 2048 tokens" deepseek --store none
        run fp8 "DeepSeek-V3 shape, FP8, again" deepseek --store none
        run fp8_8g "DeepSeek-V3 shape, FP8, --memory 8G" deepseek --store none --memory 8G
    fi
    rm -rf "$WORK/deepseek"
}

# ---- kernels ----

kernels() {
    local kernel=0 operations
    command -v ncu >/dev/null || { row kernels "kernels by ncu" "not available" ""; return; }
    model qwen3-30b-a3b 1 qwen3-1 || return
    ids "$WORK/ids" 151936 4
    ours timeout "$(within 150)" ncu --clock-control none --metrics gpu__time_duration.sum --csv --log-file "$LOGS/kernels.csv" \
        "$B/ol-extract" "$WORK/qwen3-1" --ids "$WORK/ids" --backend cuda -o "$WORK/run.h5" >"$LOGS/kernels.log" 2>&1
    # What attention computes: two products, for 32 heads of 128 and every pair of tokens.
    operations=$(calculate "4 * 32 * 2 * 2 * 128 * 2048 * 2049 / 2")
    if ! "$PYTHON" tests/gpu/kernels.py "$LOGS/kernels.csv" "$operations" "${product:-0}" >"$LOGS/kernels.txt" 2>>"$LOGS/kernels.log"; then
        row kernels "kernels by ncu" "not available" "$(cat "$LOGS/kernels.csv" "$LOGS/kernels.log" 2>/dev/null | grep -m1 -E 'ERR|rror')"
        return
    fi
    while IFS='|' read -r name share note; do
        row "kernel_$((kernel += 1))" "$name" "$share" "$note"
    done <"$LOGS/kernels.txt"
}

# ---- sanitizer ----

# sanitize TOOL TEST [FILTER]
sanitize() {
    local key=$1_$2${3:+_$3} name="compute-sanitizer $1, $2${3:+ $3}" log=$LOGS/$1-$2${3:+-$3}.log status passed
    fits 20 "$key" "$name" || return
    CMOCKA_MESSAGE_OUTPUT=TAP OL_TEST_FILTER=${3:-} ours timeout "$(within 60)" compute-sanitizer --tool "$1" --error-exitcode 9 "$B/gpu/$2" >"$log" 2>&1
    status=$?
    passed=$(grep -c '^ok ' "$log")
    case $status in
    0) if [ "$passed" -gt 0 ]; then row "$key" "$name" "clean" "$passed tests"; else fail "$key" "$name" "no test" ""; fi ;;
    124) row "$key" "$name" "ran out of time" "$passed tests, $(grep -c '========= ' "$log") lines" ;;
    *) if grep -q 'not supported' "$log"; then
        row "$key" "$name" "not available" "$(grep -m1 'not supported' "$log")"
    else
        fail "$key" "$name" "status $status" "$(last "$log")"
    fi ;;
    esac
}

sanitizer() {
    command -v compute-sanitizer >/dev/null || { row sanitizer "compute-sanitizer" "not available" ""; return; }
    sanitize memcheck test_cuda_kernels test_attention
    sanitize racecheck test_cuda_kernels test_attention
    sanitize memcheck test_mixer_operations
    sanitize racecheck test_mixer_operations
    sanitize synccheck test_mixer_operations
    sanitize memcheck test_cuda_kernels test_permute
    sanitize racecheck test_cuda_kernels test_permute
}

# ---- all ----

rm -f "$OUT"/check.json "$OUT"/logs.tar.gz
printf '| measured | value | |\n|---|---:|---|\n' >"$OUT/check.md"
[ $# -gt 0 ] || set -- smoke speed tests formats kernels sanitizer
for stage in "$@"; do
    fits 30 "$stage" "stage $stage" || continue
    case $stage in
    smoke | speed | tests | formats | kernels | sanitizer) echo "== $stage, $(left) s left" && $stage ;;
    *) echo "check.sh: there is no stage '$stage': smoke, speed, tests, formats, kernels or sanitizer" >&2; exit 2 ;;
    esac
    pack
done
[ "$failed" -eq 0 ] && echo "all passed: $OUT/check.md" || echo "FAILED: see $OUT"
exit "$failed"
