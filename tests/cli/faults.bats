# Some of the calls of the system that `make fuzz` lets fail, all of them: tests/faults.
load common

@test "a call of the system that fails is never silent" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    "$PYTHON" "$TESTS/faults/sweep.py" "$TOOLS" 53
}

@test "without locks on the file system it is said once, and the run is done" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    FAULT_CALL=flock FAULT_AT=1 FAULT_ON_FROM=1 FAULT_ERROR=ENOLCK LD_PRELOAD=$TOOLS/tests/fault.so \
        "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 2> err
    cat err
    [ "$(wc -l < err)" -eq 1 ]
    grep -q '^ol-extract: run.h5.partial: cannot be locked (No locks available): ' err
    FAULT_CALL=flock FAULT_AT=1 FAULT_ON_FROM=1 FAULT_ERROR=ENOLCK LD_PRELOAD=$TOOLS/tests/fault.so \
        "$ANALYZE" --verify run.h5 2> err
    [ "$(wc -l < err)" -eq 1 ]
}

@test "rows that are read, as on file systems that map badly, give the bytes of mapped ones" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    for dtype in bf16 f32; do
        "$TOOLS/tests/make_activations" run.h5 3 5 100 6400 $dtype 7 edges
        "$ANALYZE" run.h5 > mapped.json
        FAULT_CALL=fstatfs FAULT_AT=1 FAULT_ON_FROM=1 FAULT_ERROR=EIO FAULT_COUNT=$PWD/asked \
            LD_PRELOAD=$TOOLS/tests/fault.so "$ANALYZE" run.h5 > read.json
        [ "$(cat asked)" -eq 1 ]
        cmp mapped.json read.json
    done
}

@test "a run that is killed just before its file has its name goes on to the same bytes" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    mkdir calm killed
    run_it() { "$@" "$EXTRACT" -q "$PLANTED" --ids "$IDS" --ablate zero:1 --resume --keep-every 0 -o run.h5; }
    (cd calm && run_it env)
    cd killed
    for at in 1 2 3; do
        run_it env FAULT_CALL=rename FAULT_AT=$at FAULT_ERROR=KILL LD_PRELOAD="$TOOLS/tests/fault.so" || true
    done
    [ -e run.h5.partial ]
    run_it env
    same_run ../calm/run.h5 run.h5
}
