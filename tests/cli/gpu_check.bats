# tests/gpu/check.sh, with stand-ins for a device and for all programs that it starts: which stages
# there are and in which order, what is kept of a run that is cut short, what fails.
load common

# stand_in FILE: a program, its text from stdin. What is called is a line of $CALLS, which is in the
# environment as the tree is.
stand_in() {
    mkdir -p "$(dirname "$1")"
    {
        echo '#!/bin/bash'
        echo "echo \$(basename \"\$0\") \"\${*//[[:cntrl:]]/ } [\${LD_LIBRARY_PATH:-}]\" >>'$CALLS'"
        cat
    } >"$1"
    chmod +x "$1"
}

tests_of() {
    local test
    for test in test_feeding test_operations test_router_operations test_observed_operations \
        test_mixer_operations test_cuda_kernels test_digest test_dequant test_forward; do
        stand_in "build-gpu/gpu/$test" <<<"$1"
    done
}

setup() {
    [ -n "$PYTHON" ] || skip "no python with h5py"
    unset BUILD OUT LIMIT WORK LAYERS LD_LIBRARY_PATH OL_TEST_FILTER
    cd "$BATS_TEST_TMPDIR"
    CALLS=$PWD/calls
    mkdir -p tests/gpu data/models bin
    : >calls
    cp "$TESTS"/gpu/{check.sh,kernels.py,agreement.py} tests/gpu
    cp "$ROOT/data/models/qwen3-30b-a3b.json" data/models
    "$PYTHON" -c 'import h5py, numpy
for n in 1, 2, 4, 16:
    with h5py.File(f"{n}.h5", "w") as f:
        f["input/lengths"] = numpy.full(n, 3)
        f["layers/000/ln_mlp"] = numpy.ones((n, 3, 4), "f4")'
    stand_in build-gpu/gpu/peaks <<<'echo "Stand-in 1|50.0|800|400"'
    tests_of 'echo "ok 1 - a"; echo "ok 2 - b"'
    stand_in build-gpu/tests/make_checkpoint <<<'mkdir -p "$2"; cp "$1" "$2/config.json"'
    stand_in build-gpu/ol-extract <<'END'
[[ $* =~ --ids\ ([^ ]*)\ .*-o\ ([^ ]*) ]] && cp "$(wc -l <"${BASH_REMATCH[1]}").h5" "${BASH_REMATCH[2]}"
echo "ol-extract: 1.00 GB to and from the device (1.00 GB/s); waited" >&2
echo "ol-extract: the link of the device carried weights for 0.10 s (50 % of the time), at 40.0 GB/s; 0.00 GB came from other devices" >&2
END
    # torch is said to be there, and what needs it writes what it would.
    stand_in bin/python <<END
case "\$*" in
*transformers_hooks*)
    "$PYTHON" -c 'import h5py, numpy, sys
with h5py.File(sys.argv[1], "w") as f:
    f["layer_0_ln_mlp"] = numpy.full((2, 3, 4), 0x3f80, "u2")' "\$4"
    echo "loading 1.0 s, forward 1.0 s" ;;
*import\ torch*) ;;
*make_quantised*) mkdir -p "\$3"; echo '{}' >"\$3/config.json" ;;
*) exec "$PYTHON" "\$@" ;;
esac
END
    export PYTHON=$PWD/bin/python
    stand_in bin/nvidia-smi <<<'case $* in -L) echo "GPU 0: one" ;; *) echo 580.1 ;; esac'
    stand_in bin/ncu <<'END'
while [ "$1" != --log-file ]; do shift; done
echo '==PROF== Connected' >"$2"
echo '"Kernel Name","Metric Name","Metric Unit","Metric Value"' >>"$2"
for kernel in gather attention_bf16_kernel nvjet; do
    echo "\"void $kernel<T>(int)\",\"gpu__time_duration.sum\",\"ms\",\"1.0\"" >>"$2"
done
END
    stand_in bin/compute-sanitizer <<<'echo "ok 1 - a"'
    stand_in bin/ldconfig <<<':'
    PATH=$PWD/bin:$PATH
}

check() { WORK=$PWD/work CUDA_HOME=$PWD/cuda bash tests/gpu/check.sh "$@"; }

# The names of rows, in their order.
rows() { sed -n '3,$s/^| \([^|]*\) |.*/\1/p' build-gpu/check/check.md; }

@test "gpu-check: stages in their order, each with the time left, and few files" {
    run check
    [ "$status" -eq 0 ]
    [[ ${lines[-1]} == "all passed"* ]]
    local stages left=540 name seconds
    stages=$(sed -n 's/^== \(.*\), \([0-9]*\) s left$/\1 \2/p' <<<"$output")
    [ "$(cut -d' ' -f1 <<<"$stages" | tr '\n' ' ')" = "smoke speed tests formats kernels sanitizer " ]
    while read -r name seconds; do
        [ "$seconds" -le "$left" ]
        left=$seconds
    done <<<"$stages"
    [ "$(cd build-gpu/check && echo *)" = "check.json check.md logs.tar.gz" ]
    tar -tzf build-gpu/check/logs.tar.gz | grep -q logs/test_dequant.log
    # Each row is a member too; nothing is left where files had room.
    [ "$("$PYTHON" -c 'import json; print(len(json.load(open("build-gpu/check/check.json"))))')" -eq "$(rows | wc -l)" ]
    [ -z "$(ls -A work)" ]
}

@test "gpu-check: what is measured" {
    check
    local table=build-gpu/check/check.md row
    for row in '^| copies to the device, pinned | 50.0 GB/s' \
        'experts of 1,000 rows on 8 streams | 400 TFLOP/s | 50.00 % of that' \
        '^| test_forward qwen3_moe cuda \* | 2 passed' '^| test_forward gpt_oss cuda \* | 2 passed' \
        '1 layer, rows of the first half that differ | 0 of 3' 'rows of the second half that differ | 0 of 3' \
        ', again |.*(80.00 % of the link)' '--memory 8G | ' \
        'DeepSeek-V3 shape, FP8, --memory 8G' 'hooks kept on the device | .* times as long' \
        'hooks as usually written | .* times as long' 'layer 0, ln_mlp beside transformers | 0.0000' \
        '^| router, permute and combine | 1.000 ms | 1 launches, 33.3 %' \
        "^| attention | 1.000 ms | 1 launches, 33.3 % of the device's time; 138 TFLOP/s, 17 % of cuBLAS' best" \
        '^| compute-sanitizer memcheck, test_cuda_kernels test_attention | clean' \
        '^| compute-sanitizer racecheck, test_cuda_kernels test_attention | clean'; do
        grep -qe "$row" "$table" || { echo "no row '$row'"; cat "$table"; return 1; }
    done
    # From the disk, or why not.
    grep -qE 'from the disk \| ([0-9.]+ s|not measured \| [0-9]+ MB stay)' "$table"
}

@test "gpu-check: kernels by their names are those that there are" {
    local name
    for name in $(sed -n '/^GROUPS/,/^}/p' "$TESTS/gpu/kernels.py" | grep -o '"[a-z0-9_]*"' | tr -d '"' | grep -v '^attention$'); do
        grep -rqE "(^|[ *])$name\(" "$ROOT/extract/cuda" || { echo "no kernel $name"; return 1; }
    done
    for name in test_attention test_permute; do
        grep -q "cmocka_unit_test($name)" "$TESTS/unit/test_cuda_kernels.c"
    done
    for name in qwen3_moe gpt_oss; do [ -d "$GOLDEN/$name" ]; done
}

@test "gpu-check: only our programs see the libraries of the pack" {
    check
    grep -qF "ol-extract " calls
    grep -vE '^(python|nvidia-smi|ldconfig) ' calls >ours
    grep -E '^(python|nvidia-smi) ' calls >theirs
    [ -s ours ]
    not grep -vF "[$PWD/build-gpu/lib:" ours
    grep -q transformers_hooks theirs
    not grep -v '\[\]$' theirs
}

@test "gpu-check: cuBLAS is the toolkit's, or that of Python's packages" {
    local site
    mkdir -p cuda/lib64
    touch cuda/lib64/libcublas.so.13
    check smoke
    grep -F 'ol-extract' calls | grep -qF "[$PWD/build-gpu/lib:$PWD/cuda/lib64]"
    rm -r cuda calls
    "$PYTHON" -m venv --without-pip venv
    site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    mkdir -p "$site/nvidia/cu13/lib"
    touch "$site/nvidia/cu13/lib/libcublas.so.13"
    PYTHON=$PWD/venv/bin/python check smoke
    grep -F 'ol-extract' calls | grep -qF "[$PWD/build-gpu/lib:$site/nvidia/cu13/lib]"
}

@test "gpu-check: a device that cannot be used: what is linked, and the driver's answer" {
    stand_in build-gpu/gpu/peaks <<<'echo "peaks: no device" >&2; exit 1'
    stand_in bin/ldd <<<'echo "libcublas.so.13 => not found"'
    stand_in bin/nvidia-smi <<<'echo "NVIDIA-SMI has failed"; exit 9'
    run check
    [ "$status" -eq 1 ]
    [[ $output == *"no CUDA device can be used here: peaks: no device"* ]]
    [[ $output == *"libcublas.so.13 => not found"* ]]
    [[ $output == *"NVIDIA-SMI has failed"* ]]
    grep -q '^| device | none | peaks: no device |' build-gpu/check/check.md
    tar -tzf build-gpu/check/logs.tar.gz | grep -q logs/peaks.log
}

@test "gpu-check: a kill loses nothing that was measured" {
    local pid
    stand_in build-gpu/ol-extract <<'END'
case "$*" in *--store*) touch reached; exec sleep 60 ;; esac
[[ $* =~ -o\ ([^ ]*) ]] && cp 2.h5 "${BASH_REMATCH[1]}"
END
    set -m
    check >/dev/null 2>&1 &
    pid=$!
    set +m
    for ((i = 0; i < 600; i++)); do
        [ ! -e reached ] || break
        sleep 0.1
    done
    kill -9 -- "-$pid"
    wait "$pid" || true
    rows | tail -n 1 | grep -q '4 layers, 16 x 2048 tokens, again'
    [ "$("$PYTHON" -c 'import json; print(len(json.load(open("build-gpu/check/check.json"))))')" -eq "$(rows | wc -l)" ]
    tar -tzf build-gpu/check/logs.tar.gz | grep -q logs/test_feeding.log
}

@test "gpu-check: what is not available has not failed" {
    stand_in bin/ncu <<'END'
while [ "$1" != --log-file ]; do shift; done
echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission' >"$2"
exit 1
END
    stand_in bin/compute-sanitizer <<<'echo "========= Error: Device not supported"; exit 1'
    run check kernels sanitizer
    [ "$status" -eq 0 ]
    grep -q '^| kernels by ncu | not available | ==ERROR== ERR_NVGPUCTRPERM' build-gpu/check/check.md
    grep -q '^| compute-sanitizer memcheck, test_cuda_kernels test_attention | not available' build-gpu/check/check.md
    [ "$(rows | grep -c sanitizer)" -eq 7 ]
    rm bin/ncu bin/compute-sanitizer
    PATH=$PWD/bin:/usr/bin:/bin run check kernels sanitizer
    [ "$status" -eq 0 ]
    grep -q '^| compute-sanitizer | not available' build-gpu/check/check.md
}

@test "gpu-check: what does not fit is left out and said, what fails is said" {
    LIMIT=25 run check
    [ "$status" -eq 0 ]
    [ "$(grep -c '| left out |' build-gpu/check/check.md)" -eq 6 ]
    tests_of 'echo "not ok 1 - a"; exit 1'
    run check tests
    [ "$status" -eq 1 ]
    [[ ${lines[-1]} == FAILED* ]]
    grep -q '^| test_digest | 0 passed | 1 failed, exit status 1: not ok 1 - a' build-gpu/check/check.md
    run check no-such-stage
    [ "$status" -eq 2 ]
}
