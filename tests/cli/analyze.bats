# ol-analyze on its own. Long: starts early.
load common

compare() {
    "$PYTHON" "$ROOT/tests/oracle/analyze.py" "$@"
}

@test "edge values, infinities and NaN, by every batch size and dtype, as the oracle has them" {
    cd "$BATS_TEST_TMPDIR"
    for dtype in bf16 f32; do
        "$TOOLS/tests/make_activations" run.h5 3 5 100 23 $dtype 7 edges
        for batch in 1 2 5 9; do
            "$ANALYZE" --batch-size $batch run.h5 -o run.json
            compare run.json run.h5
        done
        "$ANALYZE" --threshold 5.96875 --min-layers 1 --min-positions 0.001 run.h5 -o run.json
        compare run.json run.h5
    done
}

@test "a width that fills no vector, one token, one feature" {
    cd "$BATS_TEST_TMPDIR"
    for shape in "1 1 1 1" "2 3 65 130" "1 2 64 64" "2 2 129 67"; do
        "$TOOLS/tests/make_activations" run.h5 $shape bf16 3 edges
        "$ANALYZE" run.h5 -o run.json
        compare run.json run.h5
    done
}

# Wide rows are looked at a few at a time.
@test "rows that do not fit the nearest cache together" {
    cd "$BATS_TEST_TMPDIR"
    for dtype in bf16 f32; do
        "$TOOLS/tests/make_activations" edges.h5 2 3 140 3001 $dtype 11 edges
        "$TOOLS/tests/make_activations" plain.h5 1 2 140 3001 $dtype 11 plain
        for batch in 1 2; do
            "$ANALYZE" --batch-size $batch edges.h5 -o run.json
            compare run.json edges.h5
            "$PYTHON" "$TESTS/oracle/deep.py" run.json edges.h5 sweep
        done
        "$ANALYZE" plain.h5 -o run.json
        "$PYTHON" "$TESTS/oracle/deep.py" run.json plain.h5 sweep quantisation
    done
}

@test "what quantising values that are not finite costs is not known, with some kept apart either" {
    cd "$BATS_TEST_TMPDIR"
    "$TOOLS/tests/make_activations" run.h5 3 5 100 23 bf16 7 edges
    "$ANALYZE" run.h5 -o run.json
    "$PYTHON" -c '
import json
r = json.load(open("run.json"))
n = 0
for site, errors in zip(r["sites"], r["quantisation"]["sites"]):
    if errors["error"][0] is not None:
        continue
    n += 1
    assert site["n_nan"] + site["n_inf"] > 0
    for key in ("error", "error_without_dims", "error_without_tokens"):
        assert errors[key] == [None] * 7, (site, key, errors[key])
assert n > 0'
}

@test "chosen statistics alone say what they say among all" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5
    "$ANALYZE" run.h5 -o all.json
    "$ANALYZE" --statistics uncertainty,sweep,router run.h5 -o some.json
    "$PYTHON" "$TESTS/oracle/same_blocks.py" all.json some.json uncertainty sweep router
    "$PYTHON" -c '
import json
r = json.load(open("some.json"))
assert "uncertainty" in r and not {"llm_int8", "sites", "quantisation"} & set(r), sorted(r)'
    "$ANALYZE" --statistics llm_int8 run.h5 | "$REPORT" | grep -q "outlier feature"
    run "$ANALYZE" --statistics llm_int8, run.h5
    [ "$status" -eq 2 ]
    [[ $output == *"--statistics: there is no ''; there are perplexity, llm_int8, "* ]]
    run "$ANALYZE" --statistics llm_int8 --imatrix x.gguf run.h5
    [ "$status" -eq 2 ]
}

@test "the same bytes for one thread and two" {
    cd "$BATS_TEST_TMPDIR"
    "$TOOLS/tests/make_activations" run.h5 4 6 300 200 bf16 5 edges
    "$ANALYZE" --threads 1 run.h5 | grep -v command_line > one
    "$ANALYZE" --threads 2 run.h5 | grep -v command_line > two
    cmp one two
}

@test "parts of a run count as one, batches run across files" {
    cd "$BATS_TEST_TMPDIR"
    "$TOOLS/tests/make_activations" whole.h5 2 6 80 40 bf16 9 plain
    "$TOOLS/tests/make_activations" a.h5 2 1 80 40 bf16 9 plain 0
    "$TOOLS/tests/make_activations" b.h5 2 5 80 40 bf16 9 plain 1
    "$ANALYZE" --batch-size 4 whole.h5 | grep -v '"command_line"\|"parts"' > one
    "$ANALYZE" --batch-size 4 a.h5 b.h5 | grep -v '"command_line"\|"parts"' > two
    cmp one two
    printf 'a.h5\n\nb.h5\n' | "$ANALYZE" --batch-size 4 | grep -v '"command_line"\|"parts"' | cmp - two
    "$ANALYZE" --batch-size 4 a.h5 b.h5 -o run.json
    compare run.json a.h5 b.h5
}

# The criterion's numbers from the summaries are those from the tensors, byte for byte.
@test "summaries give the numbers of the tensors, alone and in parts" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o planted.h5
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 5 -l 203 -o demo.h5 --threshold 2.5
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 5 -l 203 -o none.h5 --threshold 2.5 --store none
    options="--min-layers 0.1 --min-positions 0.01"
    for batch in 1 2 9; do
        "$ANALYZE" planted.h5 --batch-size $batch > tensors
        "$ANALYZE" planted.h5 --batch-size $batch --summaries > summaries
        "$PYTHON" "$TESTS/oracle/same_blocks.py" tensors summaries llm_int8 sites router
        "$ANALYZE" demo.h5 $options --batch-size $batch --threshold 2.5 > tensors
        "$ANALYZE" none.h5 $options --batch-size $batch --threshold 2.5 > summaries
        "$PYTHON" "$TESTS/oracle/same_blocks.py" tensors summaries llm_int8 sites router
    done
    grep -q '"feature"' tensors

    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 5 -l 203 --tokenize > ids
    head -n 2 ids > a.ids
    tail -n 3 ids > b.ids
    for part in a b; do
        "$EXTRACT" -q "$DEMO" --ids $part.ids -o $part.h5 --threshold 2.5 --store none
    done
    "$ANALYZE" a.h5 b.h5 $options --batch-size 2 --threshold 2.5 > parts
    "$ANALYZE" none.h5 $options --batch-size 2 --threshold 2.5 > whole
    "$PYTHON" "$TESTS/oracle/same_blocks.py" whole parts llm_int8 sites router
}

@test "sweep, uncertainty, tokens, positions and quantisation, of experts too, as plain loops have them" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 5 -l 131 -o demo.h5 --threshold 2.5
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o planted.h5
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" -o golden.h5 --threshold 1.5 --imatrix
    for batch in 1 2; do
        for run in "demo --threshold 2.5 --min-layers 0.1 --min-positions 0.01" planted \
            "golden --threshold 1.5"; do
            set -- $run
            name=$1
            shift
            "$ANALYZE" --batch-size $batch "$@" $name.h5 > $name.json
            "$PYTHON" "$TESTS/oracle/deep.py" $name.json $name.h5
        done
    done
}
