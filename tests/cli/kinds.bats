# Kinds of processors (tests/kinds builds for each of them).
load common

@test "the kind of processor is in the file and in the results" {
    cd "$BATS_TEST_TMPDIR"
    for precision in bf16 f32; do
        "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --precision $precision
        kind=$("$PYTHON" -c "import h5py; print(h5py.File('run.h5').attrs['processor'])")
        case $precision,$kind in
        bf16,amx_bf16 | bf16,avx512_bf16 | *,avx512 | *,avx2 | *,generic) ;;
        *) false ;;
        esac
        "$ANALYZE" run.h5 > run.json
        [ "$("$PYTHON" -c "import json; print(json.load(open('run.json'))['run']['processor'])")" = "$kind" ]
        rm run.h5
    done
    # Parts of several kinds, and files that were written before it was recorded.
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o one.h5
    sed 1d "$IDS" > rest
    "$EXTRACT" -q "$PLANTED" --ids rest -o two.h5
    "$PYTHON" - <<'PY'
import h5py
with h5py.File("one.h5", "r+") as f:
    f.attrs["processor"] = "generic"
with h5py.File("two.h5", "r+") as f:
    f.attrs["processor"] = "avx2"
PY
    processor() { "$PYTHON" -c "import json, sys; print(json.load(sys.stdin)['run'].get('processor'))"; }
    [ "$("$ANALYZE" one.h5 two.h5 | processor)" = 'generic, avx2' ]
    "$PYTHON" -c "
import h5py
for name in ('one.h5', 'two.h5'):
    del h5py.File(name, 'r+').attrs['processor']"
    [ "$("$ANALYZE" one.h5 two.h5 | processor)" = None ]
}

# Its functions of float and double differ in last bits between processors.
@test "f32 does not depend on what the C library has for a processor" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip 'its own settings of the C library'
    for model in qwen3_next deepseek_v3 gpt_oss llama4 mixtral; do
        run_it() {
            "$EXTRACT" -q "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" -o "$1" --backend cpu \
                --precision f32 --store f32 --perplexity
        }
        run_it new.h5
        GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX2_Usable,-FMA_Usable,-FMA4_Usable \
            run_it old.h5
        same_run new.h5 old.h5
        rm new.h5 old.h5
    done
}
