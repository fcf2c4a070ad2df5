# A file that memory cannot hold beside the weights: its rows are written past the page cache.
load common

# Two sequences of rows that end within a block: 1500 x 64 floats; memory for less than them.
setup() {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    for first in 3 11; do
        for ((i = 0; i < 1500; i++)); do printf '%d ' $(((first * i + i * i / 7) % 60)); done
        echo
    done > ids
    echo 'MemAvailable: 100 kB' > meminfo
    mkdir calm run
    (cd calm && extract env)
    cd run
}

# extract COMMAND...: the run, by that command, always with one command line.
extract() {
    "$@" "$EXTRACT" -v "$PLANTED" --ids ../ids --store f32 --no-summaries --memory 1G \
        --keep-every 0 --resume -o run.h5 2> err
}

# fault CALL K ERROR: the same with little memory, and with the K-th call failing.
fault() {
    extract env FAULT_CALL="$1" FAULT_AT="$2" FAULT_ERROR="$3" FAULT_COUNT=count \
        FAULT_MEMINFO=../meminfo LD_PRELOAD="$TOOLS/tests/fault.so"
}

takes_direct() {
    python3 -c 'import os; os.open("direct", os.O_CREAT | os.O_WRONLY | os.O_DIRECT)' 2> /dev/null
}

@test "rows of a file that memory cannot hold go past the page cache, to the same bytes" {
    takes_direct || skip "no unbuffered writes here"
    fault direct 0 EIO
    cat err
    grep -q '^ol-extract: run.h5.partial: written past the page cache' err
    not grep -q 'page cache' ../calm/err
    [ "$(cat count)" -eq 16 ] # 4 layers, 2 sites, 2 sequences
    same_run ../calm/run.h5 run.h5
    "$ANALYZE" --verify run.h5
}

@test "where unbuffered writes are refused it is said, and all go through the page cache" {
    fault open-direct 1 EINVAL
    grep -q '^ol-extract: run.h5.partial: the file system takes no unbuffered writes (.*Invalid argument)$' err
    same_run ../calm/run.h5 run.h5
    takes_direct || skip "no unbuffered writes here"
    for at in 1 6; do
        rm run.h5
        fault direct $at EINVAL
        [ "$(grep -c 'the file system takes no unbuffered writes (Invalid argument)' err)" -eq 1 ]
        [ "$(cat count)" -eq $at ]
        same_run ../calm/run.h5 run.h5
    done
}

@test "an unbuffered write that is cut short or interrupted is gone on with" {
    takes_direct || skip "no unbuffered writes here"
    for error in SHORT EINTR; do
        rm -f run.h5
        fault direct 3 $error
        not grep -q 'takes no unbuffered' err
        same_run ../calm/run.h5 run.h5
    done
}

@test "an unbuffered write that fails ends the run, which goes on to the same bytes" {
    takes_direct || skip "no unbuffered writes here"
    for error in ENOSPC EIO TORN; do
        rm -f run.h5
        not fault direct 9 $error
        case $error in
        ENOSPC) grep -q '^ol-extract: run.h5.partial: cannot write 380928 bytes: No space left on device$' err ;;
        EIO) grep -q '^ol-extract: run.h5.partial: cannot write 380928 bytes: Input/output error$' err ;;
        esac
        [ -e run.h5.partial ]
        fault direct 0 EIO
        same_run ../calm/run.h5 run.h5
    done
}
