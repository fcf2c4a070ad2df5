# Bad input: every folder of tests/bad/cli has a script `run` and in `error` the line that is
# expected on stderr (an extended regular expression), in `status` the exit status if it is
# not 1. Nothing may be left under a final name.
load common

setup_file() {
    load common
    cd "$BATS_FILE_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o planted.h5
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 1 -l 64 -o demo.h5
}

run_case() {
    folder=$1 work=$BATS_TEST_TMPDIR/$(basename "$1")
    mkdir -p "$work"
    expected=1
    [ -e "$folder/status" ] && expected=$(cat "$folder/status")
    PLANTED_RUN=$BATS_FILE_TMPDIR/planted.h5 DEMO_RUN=$BATS_FILE_TMPDIR/demo.h5
    MODELS=$ROOT/tests/golden/models
    export TESTS MODELS EXTRACT ANALYZE REPORT PLANTED DEMO IDS HELDOUT PYTHON PLANTED_RUN DEMO_RUN
    status=0
    (cd "$work" && ln -s "$ROOT/data" data && mkdir -p model && rmdir model &&
        bash "$folder/run") >"$work.out" 2>"$work.err" || status=$?
    message=$(grep -E '^ol-(extract|analyze|report): ' "$work.err" | grep -v ' tokens through ' || true)
    if [ "$status" -ne "$expected" ] || [ "$(printf '%s\n' "$message" | wc -l)" -ne 1 ] ||
        ! printf '%s\n' "$message" | grep -qxE "$(cat "$folder/error")" ||
        [ -e "$work/out.h5" ]; then
        printf '%s: exit status %s, expected %s\n' "$(basename "$folder")" "$status" "$expected"
        cat "$work.err"
        printf 'expected: %s\n' "$(cat "$folder/error")"
        return 1
    fi
}

@test "every bad input gets its one line and exit status" {
    failed=0 n=0
    for folder in "$ROOT"/tests/bad/cli/*/; do
        run_case "${folder%/}" || failed=$((failed + 1))
        n=$((n + 1))
    done
    echo "$failed of $n cases failed"
    [ "$n" -gt 50 ]
    [ "$failed" -eq 0 ]
}
