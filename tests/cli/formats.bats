# Families and the formats of weights, each with each (tests/oracle/crossed.py --whole for all).
load common

@test "models of every family run from every format as from the numbers that it stands for" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    cd "$BATS_TEST_TMPDIR"
    sanitized && options="--only qwen3_5_moe"
    # shellcheck disable=SC2086 # None or two words.
    TMPDIR=$PWD "$PYTHON" "$TESTS/oracle/crossed.py" "$TOOLS" ${options:-}
}
