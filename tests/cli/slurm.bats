# Runs in parts on a real Slurm, with a controller and a node of this test's own.
# Long: starts early.
load common

DEPLOY=$ROOT/extract/deploy
RUN_OPTIONS="--threshold 2.5 --backend cpu"
CRITERION="--threshold 2.5 --min-layers 0.1 --min-positions 0.01"

# Tokens of a sequence that keep a run busy for seconds, under sanitizers too.
LENGTH=9000
if sanitized; then LENGTH=3000; fi

setup_file() {
    load common
    # Only a test can be skipped: each is, then.
    export MISSING
    MISSING=$("$TESTS/slurm/cluster" missing)
    [ -z "$MISSING" ] || return 0
    # Not below the test's own folder, which munged need not be able to enter.
    CLUSTER_DIR=$(mktemp -d /var/tmp/ol-slurm-XXXXXX)
    export CLUSTER_DIR SLURM_CONF=$CLUSTER_DIR/slurm.conf
    "$TESTS/slurm/cluster" up "$CLUSTER_DIR"
}

teardown_file() {
    if [ -n "${CLUSTER_DIR:-}" ]; then
        load common
        "$TESTS/slurm/cluster" down "$CLUSTER_DIR"
        rm -rf "$CLUSTER_DIR"
    fi
}

setup() {
    [ -z "$MISSING" ] || skip "$MISSING"
    cd "$BATS_TEST_TMPDIR" || exit
    export OL_TOOLS=$TOOLS
}

# submit PARTS OPTIONS... -- OPTIONS...: sets array and merge.
submit() {
    local parts=$1
    shift
    "$DEPLOY/slurm" "$DEMO" --parts "$parts" --cpus 1 --mem 500M --dir out --analyze "$CRITERION" "$@" \
        >array_and_merge 2>>submitted
    read -r array merge <array_and_merge
}

state_of() { scontrol -o show job "$1" 2>/dev/null | sed 's/.*JobState=\([A-Z_]*\).*/\1/' | sort -u; }

# until_true WHAT...: for two minutes at most.
until_true() {
    for ((i = 0; i < 600; i++)); do
        if "$@"; then return; fi
        sleep 0.2
    done
    echo "never: $*"
    squeue
    scontrol -o show job
    tail -n 40 "$CLUSTER_DIR/log/slurmctld.log"
    cat out/log/*
    return 1
}
ended() { not grep -qE 'PENDING|RUNNING|COMPLETING' <<<"$(state_of "$1")"; }
kept() { grep -aq 'layer [0-9]* sha256' out/demo.part-1-of-1.h5.partial.state 2>/dev/null; }
# A job that was queued again waits for two minutes, unless it is told not to.
begun_again() {
    # Not before the first try has told its end, which would be taken for that of the second.
    if not grep -qs "slurmstepd: \[$1\.batch\]" /proc/[0-9]*/cmdline &&
        [ "$(squeue -h -j "$1" -o '%T %r')" = "PENDING BeginTime" ]; then
        # Slurm tells the credentials of tries apart by the second, and has revoked the first's.
        sleep 2
        scontrol update jobid="$1" StartTime=now || :
    fi
    [ "$(grep -c begun out/demo.part-1-of-1.h5.tries)" -eq 2 ]
}

same_results() { # RUN.h5: what the merged parts say is what it says
    "$ANALYZE" $CRITERION "$1" -o whole.json
    "$PYTHON" -c '
import json, sys
one, two = (json.load(open(path)) for path in sys.argv[1:])
for r in one, two:
    del r["command_line"]
    for key in "command_line", "created", "parts", "receipt":
        del r["run"][key]
assert one == two' whole.json out/results/run.json
}

@test "three tasks and a merge behind them are the run" {
    submit 3 --gpus a100:1 --constraint a100 --time 5 -- -t "$HELDOUT" -n 7 -l 64 $RUN_OPTIONS
    until_true ended "$merge"
    [ "$(state_of "$merge")" = COMPLETED ]
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 7 -l 64 $RUN_OPTIONS -o whole.h5
    same_results whole.h5
    [ "$(echo out/results/*)" = "out/results/receipt.txt out/results/report.html out/results/run.json out/results/run.log" ]
    grep -q "part-2-of-3 .* job=[0-9]* restart=0 begun gpus=[01]" out/results/receipt.txt
    # Nothing is done twice.
    before=$(stat -c %Y.%i out/*.h5)
    submit 3 --time 5 -- -t "$HELDOUT" -n 7 -l 64 $RUN_OPTIONS
    until_true ended "$merge"
    [ "$(state_of "$merge")" = COMPLETED ]
    [ "$(stat -c %Y.%i out/*.h5)" = "$before" ]
}

@test "names that a shell, sbatch and Slurm's patterns would take for something else" {
    mkdir "it's 50%a #1 \"d\""
    cd "it's 50%a #1 \"d\""
    cp -r "$DEMO" "my model"
    cp "$HELDOUT" "a b's \$text.txt"
    "$DEPLOY/slurm" "my model" --parts 2 --cpus 1 --mem 500M --dir "o u t" --analyze "$CRITERION --label 'a b'" \
        -- -t "a b's \$text.txt" -n 3 -l 64 $RUN_OPTIONS >array_and_merge 2>err
    read -r array merge <array_and_merge
    until_true ended "$merge"
    [ "$(state_of "$merge")" = COMPLETED ]
    [ "$(cd "o u t" && echo log/*)" = "log/merge.log log/part-1-of-2.log log/part-2-of-2.log" ]
    grep -q '"label": "a b"' "o u t/results/run.json"
    # What is to be typed can be typed.
    watch=$(sed -n 's/^slurm: watch: .*; //p' err)
    [ "$(sh -c "$watch" | tail -n 1 | sed 's/.*; merged/merged/')" = "merged: $PWD/o u t/results/run.json" ]
    run "$DEPLOY/slurm" "my model" --mem 1G --dir 'a\b' -- -t x
    [ "$status" -eq 1 ]
    [[ "$output" == *"give another --dir"* ]]
}

@test "a task that is queued again goes on, whoever queues it" {
    for by in scontrol USR1; do
        rm -rf out
        submit 1 --time 20 -- -t "$HELDOUT" -n 2 -l $LENGTH $RUN_OPTIONS --store none --keep-every 0
        until_true kept
        # What Slurm sends the shell of a job before its time is up.
        case $by in
        scontrol) scontrol requeue "${array}_1" ;;
        USR1) scancel --batch --signal=USR1 "${array}_1" ;;
        esac
        until_true begun_again "$array"
        until_true ended "$merge"
        [ "$(state_of "$merge")" = COMPLETED ]
        grep -q 'going on after layer' out/log/part-1-of-1.log
        grep -q 'restart=1 begun' out/results/receipt.txt
        [ -e whole.h5 ] || "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 2 -l $LENGTH $RUN_OPTIONS --store none -o whole.h5
        same_results whole.h5
    done
}

@test "a part that fails cancels the merge" {
    mkdir -p out/demo.part-2-of-2.h5
    submit 2 -- -t "$HELDOUT" -n 2 -l 64 $RUN_OPTIONS
    until_true ended "$merge"
    [ "$(state_of "$merge")" = CANCELLED ]
    [ -e out/demo.part-1-of-2.h5 ]
    [ ! -e out/results ]
    grep -q 'demo.part-2-of-2.h5: is a directory' out/log/part-2-of-2.log
}

@test "a survey of models as jobs, of which one fails" {
    printf '%s\n' "$DEMO --threshold 2.5" "$PLANTED --ids none.txt" >models.txt
    "$DEPLOY/survey" models.txt --dir s --slurm "--cpus 1 --mem 500M" -- -t "$HELDOUT" -n 2 -l 64 --backend cpu 2>err
    cat err
    until_true grep -qs 'of 2 models' s/survey.log
    [ -s s/survey.html ]
    grep -q "^$PLANTED: ol-extract: --text and --ids exclude each other" s/failed.txt
}

@test "what the cluster has not is refused by sbatch, and nothing is left queued" {
    squeue -h >before
    while read -r options; do
        # shellcheck disable=SC2086 # The options are several words.
        run "$DEPLOY/slurm" "$DEMO" --cpus 1 --mem 500M $options -- -t "$HELDOUT" -n 2 -l 64
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *'sbatch: error: '* ]]
    done <<'O'
--gpus v100:1
--gpus a100:9
--constraint none-such
--mem 900G
--partition none-such
O
    squeue -h | cmp before
}
