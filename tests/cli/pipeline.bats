# The three tools together, on the planted checkpoint (whose answers are known) and on the
# trained demo model.
load common

@test "the planted checkpoint gives the answers that were planted" {
    cd "$BATS_TEST_TMPDIR"
    for precision in bf16 f32; do
        "$EXTRACT" -q "$PLANTED" --ids "$IDS" --precision $precision -o $precision.h5
        for batch in 1 2; do
            "$ANALYZE" --batch-size $batch $precision.h5 -o $precision.$batch.json
            "$PYTHON" "$ROOT/tests/oracle/planted.py" "$PLANTED/answers.json" $precision.$batch.json
        done
    done
}

@test "the results of a real model are those of an independent reading of its file" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 3 -l 200 --perplexity -o demo.h5
    "$ANALYZE" --threshold 2.5 demo.h5 -o demo.json
    "$PYTHON" "$ROOT/tests/oracle/analyze.py" demo.json demo.h5
}

@test "extract | analyze | report is a pipe" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 2 -l 64 --perplexity | "$ANALYZE" | "$REPORT" > report.md
    grep -q '^# Outlier features of demo$' report.md
    grep -q 'Few tokens: 128' report.md
    [ -s demo.h5 ]
}

@test "the demo model predicts its held-out text far better than letter counts do" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 8 -l 512 --perplexity --store none -o demo.h5
    "$ANALYZE" demo.h5 -o demo.json
    "$PYTHON" -c "
import json
r = json.load(open('demo.json'))
assert 15 < r['perplexity']['value'] < 40, r['perplexity']
assert r['perplexity']['n_tokens'] == 8 * 511
assert r['llm_int8'] is not None and len(r['sites']) == 12  # from summaries
assert r['sweep'] is None and r['quantisation']['sites'] == [], 'these need tensors'
assert len(r['quantisation']['down']) == 32 and all(len(d['error']) == 7 for d in r['quantisation']['down'])
assert r['expert_quantisation'] is None and r['position_map']['sites'] is None, 'and these'
assert r['position_map']['features'] == [] and sum(r['position_map']['n_tokens']) == 8 * 512"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 1 -l 64 --store none --no-summaries -o bare.h5
    "$ANALYZE" bare.h5 -o bare.json
    "$PYTHON" -c "
import json
r = json.load(open('bare.json'))
assert r['llm_int8'] is None and r['sites'] == [] and r['massive'] is None
assert r['router'] is not None and r['position_map'] is None"
    "$REPORT" bare.json
}
