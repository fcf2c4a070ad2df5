# A run in parts is the run: ol-extract --part I/P, and ol-analyze of all parts.
load common

CRITERION="--threshold 0.5 --min-layers 0.1 --min-positions 0.01"

setup() {
    cd "$BATS_TEST_TMPDIR" || exit
}

extract() { "$EXTRACT" -q --threshold 0.5 "$@" >>names; }

# All of the results but for what tells of the processes: when, how long, in how many files.
content() {
    "$PYTHON" -c '
import json, sys
r = json.load(open(sys.argv[1]))
del r["command_line"]
for key in "command_line", "created", "parts", "receipt":
    del r["run"][key]
print(json.dumps(r, indent=1))' "$1"
}

# same OPTIONS...: the options in 1 to 7 parts, beside the whole.
same() {
    extract "$@" -o whole.h5
    "$EXTRACT" --tokenize "$@" >whole.ids
    for batch in 1 5; do
        "$ANALYZE" $CRITERION --batch-size $batch whole.h5 -o whole.json
        content whole.json >whole-$batch.txt
    done
    grep -q '"feature"' whole-1.txt
    for p in 1 2 3 4 5 6 7; do
        rm -f run.part-*.h5 parts.ids
        for i in $(seq $p); do
            extract "$@" -o run.h5 --part $i/$p
            "$EXTRACT" --tokenize "$@" --part $i/$p >>parts.ids
        done
        cmp whole.ids parts.ids
        for batch in 1 5; do
            "$ANALYZE" $CRITERION --batch-size $batch run.part-*.h5 -o parts.json
            content parts.json | cmp whole-$batch.txt
        done
    done
}

@test "parts of ragged ids, with tensors and without, are the run to the byte" {
    for model in qwen2_moe deepseek_v3; do
        for store in bf16 none; do
            same "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" --store $store --perplexity
        done
    done
}

@test "parts of a text in overlapping windows are the run to the byte" {
    same "$DEMO" -t "$HELDOUT" -n 7 -l 40 --windowing reference --store none --ablate zero:5+first
}

@test "a part is named after the run, and says which of its sequences it holds" {
    extract "$DEMO" -t "$HELDOUT" -n 11 -l 8 --part 2/3
    extract "$DEMO" -t "$HELDOUT" -n 11 -l 8 --part 2/3 -o run
    [ "$(cat names)" = "demo.part-2-of-3.h5
run.part-2-of-3" ]
    "$PYTHON" -c '
import h5py
a = dict(h5py.File("demo.part-2-of-3.h5")["input"].attrs)
assert [int(a[k]) for k in ("part", "n_parts", "first_sequence", "run_sequences")] == [2, 3, 3, 11], a
'
    # A whole run says nothing of parts.
    extract "$DEMO" -t "$HELDOUT" -n 2 -l 8 -o whole.h5
    "$PYTHON" -c 'import h5py; assert "n_parts" not in h5py.File("whole.h5")["input"].attrs'
}

@test "parts are put into their order, and their importance matrix is that of the run" {
    for i in 1 2 3; do
        extract "$DEMO" -t "$HELDOUT" -n 7 -l 50 --imatrix --store none -o run.h5 --part $i/3
    done
    extract "$DEMO" -t "$HELDOUT" -n 7 -l 50 --imatrix --store none -o whole.h5
    "$ANALYZE" $CRITERION whole.h5 -o whole.json
    "$ANALYZE" $CRITERION run.part-3-of-3.h5 run.part-1-of-3.h5 run.part-2-of-3.h5 -o parts.json
    content whole.json >whole.txt
    content parts.json | cmp whole.txt
    "$ANALYZE" --imatrix whole.gguf whole.h5
    "$ANALYZE" --imatrix parts.gguf run.part-2-of-3.h5 run.part-3-of-3.h5 run.part-1-of-3.h5
    cmp whole.gguf parts.gguf
}

@test "a part alone can be verified, resumed, and planned" {
    extract "$DEMO" -t "$HELDOUT" -n 5 -l 50 --part 2/2 -o run.h5
    "$ANALYZE" --verify run.part-2-of-2.h5 | grep -q 'intact by'
    extract "$DEMO" -t "$HELDOUT" -n 5 -l 50 --part 2/2 -o run.h5 --resume
    run "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 6 -l 50 --part 2/2 -o run.h5 --resume
    [ "$status" -eq 1 ]
    [[ "$output" == *"run.part-2-of-2.h5: is complete, but belongs to another run"* ]]
    "$EXTRACT" --plan "$DEMO" -n 7 -l 50 --part 2/3 | grep -q '"sequences": 2,'
}

@test "parts on two devices each are the run on one" {
    export CUDASIM_DEVICES=2
    EXTRACT=$TOOLS/tests/ol-extract-sim
    options="$GOLDEN/qwen2_moe --ids $GOLDEN/qwen2_moe/ids.txt --backend cuda"
    # shellcheck disable=SC2086 # The options are several words.
    extract $options -o whole.h5
    for i in 1 2 3; do
        # shellcheck disable=SC2086
        extract $options --devices 0,1 --part $i/3 -o run.h5
    done
    "$ANALYZE" $CRITERION whole.h5 -o whole.json
    "$ANALYZE" $CRITERION run.part-*.h5 -o parts.json
    content whole.json >whole.txt
    content parts.json | cmp whole.txt
}
