# What a run says while it is under way: to other machines, and into a log file; and where it
# keeps what it goes on with.
load common

# Tokens of a sequence that keep a run busy for seconds, under sanitizers too.
LENGTH=9000
if sanitized; then LENGTH=3000; fi

setup() {
    cd "$BATS_TEST_TMPDIR" || exit
}

long_run() { exec "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 2 -l $LENGTH --threads 1 --store none -o run.h5 "$@"; }

# in_progress OPTIONS...: a run in the background, until a layer of it is kept. Sets pid.
in_progress() {
    (long_run --keep-every 0 "$@" 2>log 3>&-) &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        if grep -aqs 'layer [0-9]* sha256' ./*.state states/*.state; then return; fi
        sleep 0.1
    done
    return 1
}

@test "status: running, stopped, complete, silent, as text and as JSON" {
    in_progress --progress 0.2
    while grep -q '"fraction":0.0,' run.h5.partial.status; do sleep 0.1; done
    "$EXTRACT" --status run.h5.partial >text
    cat text
    grep -qE "^run.h5.partial: running on $(uname -n) \(process $pid\), told [0-9]+ s ago, [0-9]+ s in this layer:  layer [1-6]/6 +[0-9]+ %  [0-9]+ tokens/s  .*GB memory  .*left$" text
    # By the name that it will have, too.
    "$EXTRACT" --status run.h5 --json >json
    "$PYTHON" -c '
import json
s = json.load(open("json"))
assert s["format"] == "ol-status" and s["state"] == "running" and s["file"] == "run.h5.partial", s
assert s["n_layers"] == 6 and s["n_tokens"] == 2 * '$LENGTH' and 0 < s["fraction"] < 1, s
assert s["bytes_read"] > 0 and s["memory"] > 0 and s["seconds_left"] > 0 and s["age_seconds"] < 60, s'
    # Another one is not to be removed while it runs.
    for resume in "" --resume; do
        run long_run $resume -q
        [ "$status" -eq 1 ]
        [ "$output" = 'ol-extract: run.h5.partial: another process is at work on this run' ]
    done
    kill -KILL $pid
    wait $pid || :
    run long_run -q
    [ "$status" -eq 1 ]
    [ "$output" = 'ol-extract: run.h5.partial: an unfinished run is there: go on with it (--resume), or remove it to begin anew' ]
    run "$EXTRACT" --status run.h5
    [ "$status" -eq 1 ]
    [[ "$output" == *"silent on $(uname -n) "* ]]
    [[ "$output" == *"run.h5.partial: process $pid has ended without a word"* ]]
    # As a machine leaves it that has lost its power.
    sed -i 's/"host":"[^"]*"/"host":"elsewhere"/' run.h5.partial.status
    "$EXTRACT" --status run.h5 | grep -q 'running on elsewhere .* [0-9]*:[0-9][0-9] left$'
    sed -E 's/("fraction":|"tokens_per_second":|"seconds_left":)[0-9.e+-]+/\10.0/g' run.h5.partial.status >begun
    cp run.h5.partial.status told
    cp begun run.h5.partial.status
    "$EXTRACT" --status run.h5 | grep -q ' 0 tokens/s .*  ?:?? left$'
    mv told run.h5.partial.status
    sed -i -E 's/("updated":)[0-9.]+/\11000000000.5/' run.h5.partial.status
    run "$EXTRACT" --status run.h5.partial
    [ "$status" -eq 1 ]
    [[ "$output" == *"silent on"* ]]
    [[ "$output" == *"no sign of life for"* ]]
    # Whoever wrote the file does not act on a terminal.
    sed -i 's/"host":"[^"]*"/"host":"a\\u001b[2Jb"/' run.h5.partial.status
    run "$EXTRACT" --status run.h5.partial
    [[ "$output" == *'silent on a\x1b[2Jb ('* ]]
    echo '{"format": "ol-status", "format_version": 2}' >run.h5.partial.status
    run "$EXTRACT" --status run.h5.partial
    [ "$status" -eq 1 ]
    [[ "$output" == *'run.h5.partial.status: format "ol-status" of version 2, expected'* ]]
    rm run.h5.partial.status
    [ "$("$EXTRACT" --status run.h5)" = "run.h5.partial: stopped" ]
    # States that a disk has made something else of.
    cp run.h5.partial.state kept
    head -c 20000 /dev/zero | tr '\0' '\377' >run.h5.partial.state
    run long_run --resume -q
    [ "$status" -eq 1 ]
    [[ "$output" == *'run.h5.partial.state: does not begin with "ol-state '*'": it is damaged, or'* ]]
    mv kept run.h5.partial.state
    (long_run --resume -q)
    [ "$("$EXTRACT" --status run.h5.partial)" = "run.h5: complete" ]
    "$EXTRACT" --status run.h5 --json | grep -q '"state": "complete"'
    [ "$(echo run.h5*)" = run.h5 ]
    # Of a file that is no run nothing is told.
    mkdir folder
    mkfifo fifo
    echo text > text.h5
    for wrong in 'folder: is a directory, ' 'fifo: is a FIFO, ' 'text.h5: cannot be opened as an HDF5 file'; do
        run timeout 20 "$EXTRACT" --status "${wrong%%:*}"
        [ "$status" -eq 1 ]
        [[ "$output" == "ol-extract: $wrong"* ]]
    done
    "$PYTHON" -c 'import h5py; h5py.File("run.h5", "r+").attrs["complete"] = 0'
    run "$EXTRACT" --status run.h5
    [ "$status" -eq 1 ]
    [ "$output" = 'ol-extract: run.h5: is no finished run' ]
    run "$EXTRACT" --status other.h5
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: other.h5: there is no such run, neither other.h5.partial nor other.h5" ]
}

@test "a log file gets lines, and no returns of the carriage" {
    (long_run --progress 0.2 2>log)
    [ "$(grep -cE '^ol-extract: layer [1-6]/6 .* left$' log)" -ge 2 ]
    not grep -q $'[\r\033]' log
    # None before a minute has passed, and none when it is quiet.
    rm run.h5
    "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 2 -l 64 -o run.h5 2>log
    not grep -q ' left$' log
    (long_run --progress 0.2 -q 2>log)
    [ ! -s log ]
}

@test "what stands in the way of a status file is named" {
    mkdir run.h5.partial.status.new
    run "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 2 -l 64 -o run.h5
    [ "$status" -eq 1 ]
    [[ "$output" == *"run.h5.partial.status.new: is a directory, expected a regular file, or none"* ]]
}

@test "the states of a run lie where they are to, and are found there" {
    mkdir states
    in_progress --tmpdir states
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 143 ]
    [ "$(echo run.h5.partial*)" = run.h5.partial ]
    # A run of the same name in another folder has others.
    mkdir other
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 1 -l 64 -o other/run.h5 --tmpdir states --resume
    (long_run --tmpdir states --resume 2>log)
    grep -q 'going on after layer' log
    rmdir states
    # On another machine they are not there: said, and begun anew.
    mkdir states
    mv run.h5 whole.h5
    in_progress --tmpdir states
    kill -TERM $pid
    wait $pid || :
    rm states/*
    (long_run --tmpdir states --resume 2>log)
    grep -q 'run.h5.partial: its states are not there (states/.*): beginning with layer 0' log
    same_run run.h5 whole.h5
}
