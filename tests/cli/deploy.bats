# The scripts of extract/deploy where there is no scheduler, or one that only writes down what it
# is asked; slurm.bats has a real one.
load common

DEPLOY=$ROOT/extract/deploy
CRITERION="--threshold 2.5 --min-layers 0.1 --min-positions 0.01"

setup() {
    cd "$BATS_TEST_TMPDIR" || exit
    mkdir bin
    PATH=$PWD/bin:$PATH
    export OL_TOOLS=$TOOLS
    unset "${!SLURM_@}" JOB_COMPLETION_INDEX PART PARTS CUDA_VISIBLE_DEVICES HF_HUB_OFFLINE
}

# A program that writes its words, one a line, and whatever is asked for of the environment.
stand_in() { # NAME [SHELL]
    printf '#!/bin/sh\nprintf "%%s\\n" "$@" >%s.words\n%s\n' "$PWD/$1" "${2:-}" >"bin/$1"
    chmod +x "bin/$1"
}
words_of() { tr '\n' ' ' <"$1.words"; }

@test "part and merge: from ids to what is to be copied, and nothing else" {
    for i in 1 2 3; do
        "$DEPLOY/part" -i $i -p 3 -o out/run.h5 "$DEMO" -t "$HELDOUT" -n 7 -l 50 --threshold 2.5 2>err
    done
    mkdir out/log
    echo line >out/log/part-2-of-3.log
    "$DEPLOY/merge" -o out/run.h5 -- $CRITERION >name
    [ "$(cat name)" = out/results/run.json ]
    [ "$(find out/results | LC_ALL=C sort | tr '\n' ' ')" = "out/results out/results/receipt.txt out/results/report.html out/results/run.json out/results/run.log " ]
    grep -q '^line$' out/results/run.log
    [ "$(grep -c ' ended status=0' out/results/receipt.txt)" -eq 3 ]
    [ "$(du -sk out/results | cut -f1)" -lt 4096 ]
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 7 -l 50 --threshold 2.5 -o whole.h5
    "$ANALYZE" $CRITERION whole.h5 -o whole.json
    "$PYTHON" -c '
import json, sys
one, two = (json.load(open(path)) for path in sys.argv[1:])
for r in one, two: del r["run"], r["command_line"]
assert one == two' whole.json out/results/run.json
}

@test "part: which part it is, by whoever started it" {
    stand_in ol-extract
    unset OL_TOOLS
    mkdir -p x/y && cp "$DEPLOY"/* x/y # Away from the tree's tools, so that PATH's are taken.
    DEPLOY=x/y
    part() { "$DEPLOY/part" "$@" -o run.h5 MODEL && words_of ol-extract >words && grep -o -- '--part [^ ]*' words; }
    [ "$(part -i 2 -p 3)" = "--part 2/3" ]
    [ "$(PART=1 PARTS=3 part)" = "--part 1/3" ]
    [ "$(JOB_COMPLETION_INDEX=0 PARTS=3 part)" = "--part 1/3" ]
    export SLURM_ARRAY_TASK_ID=3
    [ "$(part -p 4)" = "--part 3/4" ]
    [ "$(SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=3 part)" = "--part 3/3" ]
    # An array of the one part that failed says nothing of how many there are.
    export SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=1
    run part
    [ "$status" -eq 2 ]
    export SLURM_ARRAY_TASK_ID=0
    run part -p 4
    [ "$status" -eq 2 ]
    [[ "$output" == *"number the array from 1"* ]]
    for wrong in "-i 0 -p 2" "-i 3 -p 2" "-i x -p 2" "-i 1"; do
        # shellcheck disable=SC2086 # The options are several words.
        run env -u SLURM_ARRAY_TASK_ID "$DEPLOY/part" $wrong -o run.h5 MODEL
        [ "$status" -eq 2 ]
    done
}

@test "part: threads, memory and devices are those of the allocation, unless they are given" {
    stand_in ol-extract
    unset OL_TOOLS
    mkdir -p x/y && cp "$DEPLOY"/* x/y
    options() { x/y/part -i 1 -p 1 -o run.h5 MODEL "$@" && words_of ol-extract | sed 's/MODEL//; s/ *-o .*//'; }
    [ -z "$(options)" ]
    export SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=6 SLURM_MEM_PER_NODE=10000
    [ "$(options)" = " --threads 6 --memory 9000M" ]
    [ "$(options --threads 2 --memory=1G)" = " --threads 2 --memory=1G" ]
    # With devices --memory is theirs, which Slurm does not know.
    export SLURM_GPUS_ON_NODE=3 CUDA_VISIBLE_DEVICES=0,1,2
    [ "$(options)" = " --threads 6 --devices 0,1,2" ]
    [ "$(options --devices 1)" = " --devices 1 --threads 6" ]
    [ "$(options --imatrix)" = " --imatrix --threads 6" ]
    [ "$(options --backend cpu)" = " --backend cpu --threads 6 --memory 9000M" ]
    # Compute nodes have no network.
    printf '#!/bin/sh\necho "$HF_HUB_OFFLINE" >offline\n' >bin/ol-extract
    x/y/part -i 1 -p 1 -o run.h5 MODEL
    [ "$(cat offline)" = 1 ]
}

@test "part: TERM is passed on, and waited for" {
    # Ends a second after TERM, as a layer does.
    printf '#!/bin/sh\ntrap "sleep 1; echo kept >kept; exit 143" TERM\ntouch began\nwhile :; do sleep 0.1; done\n' >bin/ol-extract
    chmod +x bin/ol-extract
    unset OL_TOOLS
    mkdir -p x/y && cp "$DEPLOY"/* x/y
    x/y/part -i 1 -p 1 -o run.h5 MODEL 3>&- &
    pid=$!
    while [ ! -e began ]; do sleep 0.1; done
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 143 ]
    [ "$(cat kept)" = kept ]
    grep -q 'ended status=143 signal=TERM' run.part-1-of-1.h5.tries
}

@test "part: the time is up before anything was kept: not queued again" {
    printf '#!/bin/sh\ntrap "exit 143" TERM\ntouch began\nwhile :; do sleep 0.1; done\n' >bin/ol-extract
    chmod +x bin/ol-extract
    stand_in scontrol
    unset OL_TOOLS
    mkdir -p x/y && cp "$DEPLOY"/* x/y
    SLURM_JOB_ID=7 x/y/part -i 1 -p 1 -o run.h5 MODEL 2>err 3>&- &
    pid=$!
    while [ ! -e began ]; do sleep 0.1; done
    kill -USR1 $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 1 ]
    [ ! -e scontrol.words ]
    grep -q 'ask for more' err
}

@test "merge: what is missing is named" {
    run "$DEPLOY/merge" -o out/run.h5
    [ "$status" -eq 1 ]
    mkdir out
    touch out/run.part-1-of-3.h5 out/run.part-3-of-3.h5
    run "$DEPLOY/merge" -o out/run.h5
    [ "$status" -eq 1 ]
    [ "$output" = "merge: not all of the 3 parts are complete, missing: out/run.part-2-of-3.h5" ]
    touch out/run.part-1-of-2.h5
    run "$DEPLOY/merge" -o out/run.h5
    [ "$status" -eq 1 ]
    [[ "$output" == *"parts of 2 and of 3 beside each other"* ]]
}

@test "slurm: what it submits, and words that stay what they are" {
    stand_in sbatch 'echo 41'
    echo "a text" >"it's a text.txt"
    "$DEPLOY/slurm" "$DEMO" --parts 4 --gpus a100:2 --mem 64G --time 2:00:00 --constraint a100_80gb \
        --account lab --partition gpu --at-once 2 --setup 'module load cuda' --sbatch --exclusive --dir o \
        --analyze '--threshold 3' -- -t "it's a text.txt" --text-field '' >submitted 2>err
    [ "$(cat submitted)" = "41 41" ]
    [ "$(words_of sbatch)" = "--parsable --dependency=afterok:41 --kill-on-invalid-dep=yes $PWD/o/merge.sbatch " ]
    for line in '#SBATCH --array=1-4%2' '#SBATCH --gres=gpu:a100:2' '#SBATCH --mem=64G' '#SBATCH --time=2:00:00' \
        '#SBATCH --constraint=a100_80gb' '#SBATCH --account=lab' '#SBATCH --partition=gpu' '#SBATCH --exclusive' \
        '#SBATCH --requeue' '#SBATCH --signal=B:USR1@120' 'module load cuda'; do
        grep -qxF -- "$line" o/part.sbatch
    done
    grep -qxF '#SBATCH --account=lab' o/merge.sbatch
    not grep -q gres o/merge.sbatch
    grep -q -- '-- --threshold 3$' o/merge.sbatch
    # The script's last line, run with a part that writes its words down.
    stand_in part
    sed -n '$p' o/part.sbatch | sed "s|^exec '[^']*'|part|" >line
    sh line
    printf '%s\n' -p 4 -o "$PWD/o/demo.h5" "$DEMO" -t "it's a text.txt" --text-field '' | cmp part.words
    "$DEPLOY/slurm" "$DEMO" --dir p --dry-run -- -t text.txt >dry 2>err
    grep -q '^#SBATCH --array=1-1$' dry
    # Memory by the plan, where it is not given.
    grep -qx '#SBATCH --mem=[0-9]*G' dry
    [ ! -e p ]
}

@test "slurm: what is not meant is said" {
    while IFS='|' read -r options message; do
        # shellcheck disable=SC2086 # The options are several words.
        run "$DEPLOY/slurm" $options
        echo "$options: $output"
        [ "$status" -eq 2 ]
        [[ "$output" == *"$message"* ]]
    done <<'O'
|usage: slurm MODEL
MODEL --parts 0 --dry-run|--parts 0: expected a number
MODEL --min-vram 80|give --constraint
MODEL --perplexity|stand behind --
MODEL --dry-run -- -o run.h5|give --dir
MODEL other --dry-run|more than one MODEL
MODEL --mem|--mem needs a value
O
    # Every program but one.
    mkdir others
    cp -s /usr/bin/* others/ 2>/dev/null || :
    rm -f others/sbatch
    PATH=$PWD/others run "$DEPLOY/slurm" "$DEMO" -- -t text.txt
    [ "$status" -eq 1 ]
    [ "$output" = "slurm: there is no sbatch here: this is no node of a Slurm cluster" ]
}
