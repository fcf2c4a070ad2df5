# The activation file by itself: that it proves what it holds, that old ones stay readable,
# and that two processes do not spoil it for each other.
load common

@test "every checksum is zlib's, also of a run that was killed and went on" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o planted.h5 --sites ln_attn,ln_mlp,residual_mlp
    "$PYTHON" "$TESTS/oracle/checksums.py" planted.h5
    "$TOOLS/tests/make_activations" edges.h5 3 5 100 23 f32 7 edges
    "$PYTHON" "$TESTS/oracle/checksums.py" edges.h5
    run_it() { exec "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 8 -l 256 --imatrix --perplexity --resume --keep-every 0 -o run.h5; }
    for delay in 0.05 0.1 0.15 0.2; do
        run_it >/dev/null 2>&1 &
        pid=$!
        sleep $delay
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
    done
    [ -e run.h5 ] || (run_it)
    "$PYTHON" "$TESTS/oracle/checksums.py" run.h5
    "$ANALYZE" run.h5 -o run.json
}

@test "a table that is damaged or missing is named, whichever it is" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" --perplexity -o run.h5 --threshold 1.5 --layers 1
    "$PYTHON" "$TESTS/oracle/checksums.py" run.h5 copy.h5 "$ANALYZE" --verify copy.h5
    [ "$("$ANALYZE" --verify run.h5)" = "run.h5: intact by 123 checksums" ]
}

@test "files of format version 1 are read as ever, with tensors, summaries or both" {
    cd "$BATS_TEST_TMPDIR"
    for name in tensors summaries experts; do
        gzip -dc "$TESTS/old/v1-$name.h5.gz" > $name.h5
        "$ANALYZE" $name.h5 -o $name.json
        [ "$("$ANALYZE" --verify $name.h5)" = "$name.h5: format version 1, without checksums" ]
    done
    for name in tensors experts; do
        "$PYTHON" "$TESTS/oracle/analyze.py" $name.json $name.h5
    done
    # The same two sequences, with and without their tensors.
    blocks() { "$PYTHON" -c "import json, sys; print(json.load(open(sys.argv[1]))['llm_int8'])" "$1"; }
    [ "$(blocks tensors.json)" = "$(blocks summaries.json)" ]
    "$ANALYZE" --imatrix old.gguf experts.h5
    [ -s old.gguf ]
}

@test "two runs of one output that start at once: one does it, the other says so" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o calm.h5
    both=0
    for i in 1 2 3 4 5 6; do
        rm -f run.h5*
        for k in 1 2; do
            (status=0; "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 >/dev/null 2>err$k || status=$?; echo $status >status$k) &
        done
        wait
        [ "$(ls run.h5*)" = run.h5 ]
        same_run calm.h5 run.h5
        case "$(sort status1 status2 | tr -d '\n')" in
        00) both=$((both + 1)) ;; # one after the other
        01)
            cat err1 err2
            [ "$(cat err1 err2 | wc -l)" -eq 1 ]
            grep -qE 'another process|an unfinished run is there' err1 err2
            ;;
        *) false ;;
        esac
    done
    [ $both -lt 6 ]
}

@test "all lies where it lay, however long the command line and the inputs' names are" {
    cd "$BATS_TEST_TMPDIR"
    few_experts > a.ids
    run_as() { (exec -a "$1" "$EXTRACT" -q "$2" --ids "$3" -o run.h5 >/dev/null) && mv run.h5 "$4"; }
    run_as a "$DEMO" a.ids calm.h5
    for length in {5..65..5} 4000 9000; do
        run_as "$(printf "%${length}s" a)" "$DEMO" a.ids longer.h5
        same_run calm.h5 longer.h5
    done
    for length in {1..65..8} {200..1500..100}; do
        ids=$(printf "%${length}s" a.ids)
        run_as a "$DEMO" "${ids// /./}" longer.h5
        "$PYTHON" "$TESTS/oracle/same_run.py" calm.h5 longer.h5 input@source
    done
}
