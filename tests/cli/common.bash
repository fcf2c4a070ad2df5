# Shared by the command-line tests. BUILD: where the tools are.
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
case ${BUILD:-build} in
/*) TOOLS=$BUILD ;;
*) TOOLS=$ROOT/${BUILD:-build} ;;
esac
EXTRACT=$TOOLS/ol-extract
ANALYZE=$TOOLS/ol-analyze
REPORT=$TOOLS/ol-report
PLANTED=$ROOT/data/planted
DEMO=$ROOT/data/demo
IDS=$PLANTED/ids.txt
TESTS=$ROOT/tests
GOLDEN=$TESTS/golden/models
export HELDOUT=$DEMO/heldout.txt
# No test asks the Hub: those of downloads have their own (hub.bash).
export HF_HUB_OFFLINE=1

# A Python with h5py: Debian's, whatever else comes first in PATH.
PYTHON=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import h5py' 2>/dev/null; then
        PYTHON=$candidate
        break
    fi
done

# Fails when the command succeeds: bats does not see the status of a command that ! negates.
not() {
    if "$@"; then return 1; fi
}

# Whether the tools were built with sanitizers.
sanitized() { grep -q __asan_init "$EXTRACT"; }

# A sequence of 200 tokens for which layer 3 of the demo model chooses 15 of its 16 experts
# and layer 4 only 9.
few_experts() {
    set -- 528 351 1818 863 801 757 585 1808 509 1685 \
        1816 1416 478 1509 1164 365 361 491 747 776
    for ((i = 0; i < 200; i++)); do
        at=$(((i * 7 + i * i) % 20 + 1))
        printf '%s ' "${!at}"
    done
    echo
}

# The same to the last byte but for what tells of the run itself.
same_run() {
    "$PYTHON" "$TESTS/oracle/same_run.py" "$1" "$2"
}

# stopped_anywhere END STEP OPTIONS...: a run that has no room on the disk from a write on, from the
# 300th to that before END, goes on to the same bytes; three times or more.
stopped_anywhere() {
    local end=$1 step=$2 at stopped=0
    local run=("$EXTRACT" "${@:3}" --keep-every 0 --resume -o run.h5)
    sanitized && skip "the shim is no sanitizer's"
    mkdir calm again
    (cd calm && "${run[@]}")
    cd again
    for ((at = 300; at < end; at += step)); do
        FAULT_CALL=pwrite FAULT_ERROR=ENOSPC FAULT_ON_FROM=1 FAULT_AT=$at LD_PRELOAD=$TOOLS/tests/fault.so \
            "${run[@]}" 2> err && break
        [ -e run.h5.partial ] || continue
        stopped=$((stopped + 1))
        "${run[@]}"
        same_run ../calm/run.h5 run.h5
        rm run.h5
    done
    [ "$stopped" -ge 3 ]
}

# killed_again LEAST DELAYS...: run_it, which execs the tool so that the signal hits it and not a
# shell around it, ends with the same bytes when it was killed after each of these seconds, LEAST
# times or more. It writes run.h5 in the current directory.
killed_again() {
    local least=$1 kills=0 delay pid
    shift
    mkdir calm killed
    (cd calm && run_it)
    cd killed
    for delay; do
        run_it >/dev/null 2>&1 &
        pid=$!
        sleep "$delay"
        if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
        wait $pid 2>/dev/null || true
        [ -e run.h5 ] && break
    done
    echo "$kills kills"
    [ "$kills" -ge "$least" ]
    # Also of a run that ended just after its file had its name.
    (run_it)
    [ ! -e run.h5.partial ]
    [ ! -e run.h5.partial.state ]
    same_run ../calm/run.h5 run.h5
}
