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
    unset "${!SLURM_@}" "${!SKYPILOT_@}" JOB_COMPLETION_INDEX PART PARTS CUDA_VISIBLE_DEVICES HF_HUB_OFFLINE
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
    # Two that the driver tells of, in a container or on a machine of one's own.
    printf '#!/bin/sh\nprintf "GPU %%s: NVIDIA X\\n" 0 1\n' >bin/nvidia-smi
    chmod +x bin/nvidia-smi
    [ -z "$(options)" ]
    stand_in ol-extract 'echo "devices: CPU, CUDA 13.0"'
    options() { x/y/part -i 1 -p 1 -o run.h5 MODEL "$@" >/dev/null && words_of ol-extract | sed 's/MODEL//; s/ *-o .*//'; }
    [ "$(options)" = " --devices 0,1" ]
    [ "$(options --backend cuda)" = " --backend cuda --devices 0,1" ]
    [ "$(options --backend cpu)" = " --backend cpu" ]
    [ "$(SKYPILOT_NUM_GPUS_PER_NODE=4 options)" = " --backend cuda --devices 0,1,2,3" ]
    [ -z "$(CUDA_VISIBLE_DEVICES='' options)" ]
    export SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=6 SLURM_MEM_PER_NODE=10000
    [ "$(options)" = " --threads 6 --memory 9000M" ]
    [ "$(options --threads 2 --memory=1G)" = " --threads 2 --memory=1G" ]
    # With devices --memory is theirs, which Slurm does not know.
    export SLURM_GPUS_ON_NODE=3 CUDA_VISIBLE_DEVICES=0,1,2
    [ "$(options)" = " --threads 6 --backend cuda --devices 0,1,2" ]
    [ "$(options --devices 1)" = " --devices 1 --threads 6 --backend cuda" ]
    [ "$(options --imatrix)" = " --imatrix --threads 6 --backend cuda" ]
    [ "$(options --backend auto)" = " --backend auto --threads 6 --devices 0,1,2" ]
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

# out_of_time SHELL [OPTIONS]: a part under Slurm, whose tool does this at TERM, is told that its
# time is up. It fails.
out_of_time() {
    printf '#!/bin/sh\ntrap "%s" TERM\ntouch began\nwhile :; do sleep 0.1; done\n' "$1" >bin/ol-extract
    shift
    chmod +x bin/ol-extract
    unset OL_TOOLS
    mkdir -p x/y && cp "$DEPLOY"/* x/y
    rm -f began
    SLURM_JOB_ID=7 x/y/part -i 1 -p 1 -o run.h5 MODEL "$@" 2>err 3>&- &
    pid=$!
    while [ ! -e began ]; do sleep 0.1; done
    kill -USR1 $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 1 ]
}

@test "part: the time is up before anything was kept: not queued again" {
    stand_in scontrol
    out_of_time 'exit 143'
    [ ! -e scontrol.words ]
    grep -q 'ask for more' err
    # Nor where an earlier try has kept something, and this one nothing: it would go on for ever.
    mkdir states
    touch run.part-1-of-1.h5.partial run.part-1-of-1.h5.partial.state states/0a1b2c3d-run.part-1-of-1.h5.partial.state
    out_of_time 'exit 143'
    [ ! -e scontrol.words ]
    out_of_time 'touch run.part-1-of-1.h5.partial.state; exit 143' --tmpdir states
    [ ! -e scontrol.words ]
    stand_in scontrol 'exit 1'
    out_of_time 'touch states/*.state; exit 143' --tmpdir states
    [ "$(words_of scontrol)" = "requeue 7 " ]
}

@test "part: a layer that outlasts the time is given up, and the job queued again" {
    stand_in scontrol 'exit 1'
    # As if the time to end in had passed.
    stand_in timeout 'sleep 1; exit 124'
    out_of_time 'touch run.part-1-of-1.h5.partial.state; trap \"exit 143\" TERM'
    [ "$(words_of scontrol)" = "requeue 7 " ]
    grep -q 'ended status=143 signal=USR1' run.part-1-of-1.h5.tries
}

@test "part: where a site queues no job again, that is said, and the part fails" {
    stand_in scontrol 'echo "Requested operation is presently disabled" >&2; exit 1'
    out_of_time 'touch run.part-1-of-1.h5.partial.state; exit 143'
    [ "$(words_of scontrol)" = "requeue 7 " ]
    grep -q 'presently disabled' err
    grep -q 'submit it once more, it goes on from run.part-1-of-1.h5.partial' err
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
        '#SBATCH --constraint="a100_80gb"' '#SBATCH --account="lab"' '#SBATCH --partition="gpu"' '#SBATCH --exclusive' \
        '#SBATCH --requeue' '#SBATCH --signal=B:USR1@120' 'module load cuda'; do
        grep -qxF -- "$line" o/part.sbatch
    done
    grep -qxF '#SBATCH --account="lab"' o/merge.sbatch
    not grep -q gres o/merge.sbatch
    grep -q -- '-- --threshold 3$' o/merge.sbatch
    # The script's last line, run with a part that writes its words down.
    stand_in part
    sed -n '$p' o/part.sbatch | sed "s|^exec '[^']*'|part|" >line
    sh line
    printf '%s\n' -p 4 -o "$PWD/o/demo.h5" "$DEMO" -t "it's a text.txt" --text-field '' | cmp part.words
    "$DEPLOY/slurm" "$DEMO" --dir p --dry-run -- -t text.txt >dry 2>err
    grep -q '^#SBATCH --array=1-1$' dry
    # Memory by the plan, where it is not given: of processors, or of a device.
    grep -qx '#SBATCH --mem=[0-9]*G' dry
    [ ! -e p ]
    "$DEPLOY/slurm" "$ROOT/data/models/qwen3-30b-a3b.json" --gpus a100:2 --dir p --dry-run -- -t text.txt >dry 2>err
    grep -qx '#SBATCH --mem=[0-9]*G' dry
    grep -qE 'a part needs [0-9]+G of memory, [0-9]+G of disk, and GPUs of at least 8 GB$' err
    # More sequences need more of a device, of two of them less.
    for n in 1 2; do
        "$DEPLOY/slurm" "$ROOT/data/models/deepseek-r1.json" --gpus $n --dir p --dry-run -- -t text.txt -n 256 2>err >dry
        sed -n 's/.*GPUs of at least \([0-9]*\) GB$/\1/p' err >on$n
    done
    [ "$(cat on1)" -gt "$(cat on2)" ] && [ "$(cat on2)" -gt 8 ]
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

# ---- rented machines ----

# A cloud of one folder: what `sky` launches runs here, and rsync's NAME: is that folder.
cloud() { # EXIT-STATUS
    mkdir -p remote
    cat >bin/sky <<S
#!/bin/sh
echo "sky \$*" >>$PWD/calls
case \$1 in
launch)
    mkdir -p $PWD/remote/out/results $PWD/remote/out/log
    [ $1 -ne 0 ] || for file in run.json report.html receipt.txt run.log; do echo \$file >$PWD/remote/out/results/\$file; done
    echo line >$PWD/remote/out/log/part-1-of-1.log
    head -c 1000000 /dev/zero >$PWD/remote/out/run.part-1-of-1.h5
    exit $1
    ;;
down) rm -r $PWD/remote ;;
esac
S
    cat >bin/rsync <<S
#!/bin/sh
echo "rsync \$*" >>$PWD/calls
for word in "\$@"; do
    case \$word in
    --include=*h5*) h5=yes ;;
    -*) ;;
    *:*) from=$PWD/remote/\${word#*:} ;;
    *) to=\$word ;;
    esac
done
if [ -n "\${h5:-}" ]; then cp "\$from"/*.h5 "\$to"; else cp -r "\$from." "\$to"; fi
S
    chmod +x bin/sky bin/rsync
}

@test "sky: results come back before the machine goes, and nothing else" {
    cloud 0
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --gpus A100-80GB:2 --dir here -- -t "$HELDOUT" -n 4 --store none >name 2>err
    [ "$(cat name)" = here/results/run.json ]
    [ "$(cut -d' ' -f1,2 calls | tr '\n' ',')" = "sky launch,rsync -az,rsync -az,sky down," ]
    grep -q '^sky launch -y -c ol-qwen3-30b-a3b here/sky.yaml$' calls
    [ "$(cd here && find . -type f | LC_ALL=C sort | tr '\n' ' ')" = "./log/part-1-of-1.log ./results/receipt.txt ./results/report.html ./results/run.json ./results/run.log ./sky.yaml " ]
    # The activation file only when it is asked for.
    cloud 0
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --gpus 2 --with-h5 --keep --dir there -- -t "$HELDOUT" -n 4 >name 2>err
    [ -s there/run.part-1-of-1.h5 ]
    [ -d remote ]
}

@test "sky: a run that failed leaves its log here and no machine there" {
    cloud 100
    run "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --dir here -- -t "$HELDOUT" -n 4
    [ "$status" -eq 1 ]
    [[ "$output" == *"the run failed (sky launch: exit status 100): here/log"* ]]
    [ -e here/log/part-1-of-1.log ]
    [ ! -e remote ]
    # Results that cannot be copied are worth a machine that stays.
    cloud 0
    printf '#!/bin/sh\nexit 12\n' >bin/rsync
    run "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --dir here -- -t "$HELDOUT" -n 4
    [ "$status" -eq 1 ]
    [[ "$output" == *"could not be copied: ol-qwen3-30b-a3b is still there"* ]]
    [ -d remote ]
}

@test "sky: what the rented machine is to do leaves what is brought back" {
    "$DEPLOY/sky" Org/Model --mem 9 --disk 9 --min-vram 9 --analyze "--threshold 3 --label 'a b'" --dry-run -- \
        --ids "$IDS" --backend cpu >task.yaml
    value() { "$PYTHON" -c '
import re, sys
print(re.search(r"^  %s: \x27(.*)\x27$" % sys.argv[1], open("task.yaml").read(), re.M)[1].replace("\x27\x27", "\x27"))' "$1"; }
    sed -n '/^run: |/,$s/^  //p' task.yaml >run.sh
    mkdir -p /tmp/ol-input
    cp "$IDS" /tmp/ol-input/1-ids.txt
    (cd "$ROOT" && MODEL=$PLANTED EXTRACT=$(cd "$BATS_TEST_TMPDIR" && value EXTRACT) \
        ANALYZE=$(cd "$BATS_TEST_TMPDIR" && value ANALYZE) OUT=$BATS_TEST_TMPDIR/out bash "$BATS_TEST_TMPDIR/run.sh")
    grep -q '"label": "a b"' out/results/run.json
    [ -s out/results/report.html ]
    grep -q 'tokens through' out/results/run.log
}

@test "sky: a machine that may be taken away is a managed job with a bucket" {
    cloud 0
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --spot --bucket mine --dir here -- -t "$HELDOUT" -n 4 2>err
    grep -q '^sky jobs launch -y -n ol-qwen3-30b-a3b here/sky.yaml$' calls
    grep -q "^  /out: {name: 'mine', mode: MOUNT_CACHED}$" here/sky.yaml
    grep -q "^  use_spot: true$" here/sky.yaml
    not grep -q autostop here/sky.yaml
}

@test "sky: what is written goes into a bucket that is named, and comes back from there" {
    cloud 0
    # The bucket is mounted at /out, which is the folder's `out` of this cloud.
    sed -i 's|remote/|remote//|' bin/rsync
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --bucket mine --dir here -- -t "$HELDOUT" -n 4 >name 2>err
    [ "$(cat name)" = here/results/run.json ]
    grep -q "^  OUT: '/out'$" here/sky.yaml
    grep -q "^rsync -az ol-qwen3-30b-a3b:/out/results/ here/results/$" calls
    grep -q autostop here/sky.yaml
}

@test "sky: what is not meant is said" {
    while IFS='|' read -r options message; do
        # shellcheck disable=SC2086 # The options are several words.
        run "$DEPLOY/sky" $options
        echo "$options: $output"
        [ "$status" -eq 2 ]
        [[ "$output" == *"$message"* ]]
    done <<'O'
|usage: sky MODEL
A/B --spot|--spot needs --bucket
A/B --gpus A100:2 --min-vram 80|names say the memory, like A100-80GB
A/B --mem 4.5|are whole numbers
A/B --constraint x|is of Slurm
A/B --dry-run -- --output=x|give --dir
.|fetches models from the Hub by name
O
    run "$DEPLOY/sky" A/B --mem 1 --disk 1 --min-vram 1 --dry-run -- -t none.txt
    [ "$status" -eq 1 ]
    [ "$output" = "sky: none.txt: no such file here, to be taken along" ]
}

@test "sky: texts at the Hub stay there, a column's name goes with its file" {
    cp "$TESTS/golden/parquet/none.parquet" .
    "$DEPLOY/sky" A/B --mem 1 --disk 1 --min-vram 1 --dry-run -- -t fineweb-edu --text=hf://datasets/o/n/x.parquet#c \
        -t none.parquet#id -t none.parquet >task.yaml
    grep -F "EXTRACT: " task.yaml
    grep -qF -e "-t'' ''fineweb-edu'' ''--text'' ''hf://datasets/o/n/x.parquet#c'' ''-t'' ''/tmp/ol-input/1-none.parquet#id''" task.yaml
    grep -qF "  '/tmp/ol-input/1-none.parquet': '$PWD/none.parquet'" task.yaml
    [ "$(grep -c '/tmp/ol-input/.*: ' task.yaml)" -eq 2 ]
}

@test "sky: SkyPilot reads the tasks, and wants what was asked for" {
    sky_python=$(sed -n '1s/^#!//p' "$(command -v sky || echo /dev/null)")
    [ -n "$sky_python" ] || sky_python=python3
    export HOME=$PWD
    mkdir -p .sky/catalogs/v8/common
    printf 'GPU,MemoryGB,Manufacturer\nA100,40,NVIDIA\nA100-80GB,80,NVIDIA\nT4,16,NVIDIA\n' >.sky/catalogs/v8/common/metadata.csv
    printf 'AcceleratorName,Clouds\nA100,[Lambda]\nA100-80GB,[Lambda]\nT4,[Lambda]\n' >.sky/catalogs/v8/common/accelerators.csv
    "$sky_python" -c 'import sky' 2>/dev/null || skip "no Python with skypilot"
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --gpus A100-80GB:2,A100:4 --max-price 7.5 --infra runpod --image docker:x/y:z \
        --analyze "--threshold 3" --dry-run -- -t "$HELDOUT" --text-field "it's" >named.yaml
    "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --gpus 2 --min-vram 80 --mem 64G --disk 150G --dry-run -- -t "$HELDOUT" >memory.yaml
    HF_TOKEN=x "$DEPLOY/sky" Qwen/Qwen3-30B-A3B --spot --bucket mine --dry-run -- -t "$HELDOUT" >spot.yaml
    "$sky_python" - "$DEPLOY/sky.yaml" <<'P'
import shlex, sys, sky
def read(path):
    task = sky.Task.from_yaml(path)
    return task, list(task.resources)
read(sys.argv[1])
task, all = read("named.yaml")
assert sorted(str(r.accelerators) for r in all) == ["{'A100': 4}", "{'A100-80GB': 2}"], all
for r in all:
    assert r.max_hourly_cost == 7.5 and str(r.cloud).lower() == "runpod" and r.extract_docker_image() == "x/y:z", r
    assert r.autostop_config.down and r.autostop_config.idle_minutes == 10
words = shlex.split(task.envs["EXTRACT"])
assert words == ["-t", "/tmp/ol-input/1-heldout.txt", "--text-field", "it's", "--backend", "cuda"], words
assert task.envs["ANALYZE"] == "--threshold 3" and "/tmp/ol-input/1-heldout.txt" in task.file_mounts
task, all = read("memory.yaml")
assert {"A100-80GB": 2} in [r.accelerators for r in all] and len(all) >= 4, all
for r in all:
    assert not {"A100", "T4", "L4"} & set(r.accelerators) and (r.memory, r.disk_size) == ("64+", 150), r
task, all = read("spot.yaml")
# What is too old for the program is not taken, whatever its memory.
assert len(all) >= 10 and not [r for r in all if "T4" in r.accelerators], all
assert all[0].use_spot and "/out" in task.storage_mounts and task.envs["OUT"] == "/out", task
P
}

@test "make deploy: the cluster whose node this is, else a rented machine, else what to install" {
    mkdir others
    cp -s /usr/bin/* others/ 2>/dev/null || :
    rm -f others/sbatch others/sky
    choose() {
        MODEL=$1 TEXT=$HELDOUT N=4 L=64 GPUS=A100:2 PARTS=${PARTS:-} OPTIONS=$2 EXTRACT_OPTIONS="--text-field 'a b'" \
            PATH=$PWD/bin:$PWD/others sh "$DEPLOY/choose"
    }
    run choose "$DEMO" ''
    [ "$status" -eq 1 ]
    [[ "$output" == *"neither sbatch here"*"pip install 'skypilot"* ]]
    stand_in sky
    choose Qwen/Qwen3-30B-A3B "--dry-run --max-price 3" >task 2>err
    grep -q '^  accelerators: {A100:2}$' task
    grep -q '^  max_hourly_cost: 3$' task
    grep -qF "''--text-field'' ''a b''" task
    PARTS=3 run choose Qwen/Qwen3-30B-A3B "--dry-run"
    [ "$status" -eq 2 ]
    stand_in sbatch
    PARTS=3 choose "$DEMO" "--dry-run --constraint 'a|b'" >scripts 2>err
    grep -qxF '#SBATCH --gres=gpu:a100:2' scripts
    grep -qxF '#SBATCH --constraint="a|b"' scripts
    grep -qxF '#SBATCH --array=1-3' scripts
    grep -q "'-t' '$HELDOUT' '-n' '4' '-l' '64' '--perplexity' '--text-field' 'a b'$" scripts
}

@test "status: every part, and all of them" {
    run "$DEPLOY/status" none
    [ "$status" -eq 1 ]
    mkdir out
    [ "$("$DEPLOY/status" out)" = "out: no part has begun" ]
    for i in 1 2; do
        "$DEPLOY/part" -i $i -p 4 -o out/run.h5 "$DEMO" -t "$HELDOUT" -n 4 -l 50 2>err
    done
    touch out/run.part-3-of-4.h5.partial
    cat >out/run.part-3-of-4.h5.partial.status <<S
{"format":"ol-status","format_version":1,"host":"node","pid":7,"updated":$(date +%s).0,"layer":2,"n_layers":6,"n_tokens":100,"fraction":0.4,"seconds":30.0,"layer_seconds":3.0,"tokens_per_second":1234.5,"seconds_left":75.0,"bytes_read":5,"link_bytes":0,"memory":6,"device_memory":0,"disk_waits":0.5,"link_waits":0.0,"compute_waits":0.0}
S
    "$DEPLOY/status" out/ >text
    cat text
    grep -qx 'out/run.part-1-of-4.h5: complete' text
    grep -q '^out/run.part-3-of-4.h5.partial: running on node (process 7), .* layer 3/6 .* waits: disk 50 %' text
    grep -qx 'out/run.part-4-of-4.h5: not begun' text
    grep -qx 'out/run.h5: 2 of 4 parts complete, 1 running, 1 waiting or stopped, 0 silent; 1[0-9]* tokens/s together, 1:15 left of the parts that run' text
    # Slurm knows at once what its jobs have come to.
    echo "2026-01-01T00:00:00Z part-3-of-4 node job=7 restart=0 begun gpus=none" >out/run.part-3-of-4.h5.tries
    stand_in squeue 'echo "slurm_load_jobs error: Unable to contact slurm controller"'
    "$DEPLOY/status" out | grep -q ', 1 running, 1 waiting or stopped, 0 silent;'
    stand_in squeue 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
    echo "2026-01-01T00:00:00Z part-4-of-4 node job=8 restart=0 ended status=1" >out/run.part-4-of-4.h5.tries
    run "$DEPLOY/status" out
    [ "$status" -eq 1 ]
    [[ "$output" == *"part-3-of-4.h5.partial: silent on node (process 7), "*"; Slurm has no job 7 any more"* ]]
    [[ "$output" == *"part-4-of-4.h5: failed on node with status=1"* ]]
    [[ "$output" == *"0 running, 0 waiting or stopped, 1 silent, 1 failed" ]]
    rm out/run.part-[34]-of-4.h5.tries
    sed -i 's/"updated":[0-9]*/"updated":1000000000/' out/run.part-3-of-4.h5.partial.status
    run "$DEPLOY/status" out
    [ "$status" -eq 1 ]
    [[ "$output" == *"0 running, 1 waiting or stopped, 1 silent"* ]]
}

@test "survey: what fails is named with its reason, what is done is not done again" {
    cat >models.txt <<M
# The first has options of its own.
$GOLDEN/qwen2_moe --ids $GOLDEN/qwen2_moe/ids.txt --perplexity   # of its own

$PLANTED --ids '$IDS'
$ROOT/data/none-there --ids $IDS
M
    run "$DEPLOY/survey" models.txt --dir s --analyze '--statistics llm_int8,sites' -- --store none
    echo "$output"
    [ "$status" -eq 1 ]
    [ -s s/survey.html ]
    [ "$(cat s/failed.txt)" = "$ROOT/data/none-there: ol-extract: $ROOT/data/none-there: cannot be opened, and is no Hub name (org/name): No such file or directory" ]
    grep '"command_line"' s/qwen2_moe/results/run.json | grep -q -- '--perplexity'
    before=$(stat -c %Y.%i s/*/results/run.json)
    sed -i /none-there/d models.txt
    run "$DEPLOY/survey" models.txt --dir s --analyze '--statistics llm_int8,sites' -- --store none
    [ "$status" -eq 0 ]
    [[ "$output" == *"planted: done before"* ]]
    [ ! -e s/failed.txt ]
    [ "$(stat -c %Y.%i s/*/results/run.json)" = "$before" ]
    # Other options are another run, whose file is in the way.
    run "$DEPLOY/survey" models.txt --dir s -- --store bf16
    [ "$status" -eq 1 ]
    [[ "$output" == *"is complete, but belongs to another run"* ]]
    echo "$PLANTED" >>models.txt
    run "$DEPLOY/survey" models.txt --dir s
    [ "$status" -eq 1 ]
    [[ "$output" == *"planted is there twice"* ]]
}

@test "survey: a line is read as a shell reads it, one that cannot be before anything runs" {
    mkdir "my models"
    cp -r "$PLANTED" "my models/it's one"
    cp "$IDS" "ids#1.txt"
    printf '%s\n' '# A comment.' "\"my models/it's one\" --ids ids#1.txt	# a word's beginning" >models.txt
    "$DEPLOY/survey" models.txt --dir s -- -n 1 2>err
    [ -s "s/it's one/results/run.json" ]
    grep -qx "survey: 1 of 1 models: s/survey.html" err
    echo "$DEMO -t 'x" >>models.txt
    run "$DEPLOY/survey" models.txt --dir t
    [ "$status" -eq 1 ]
    [ "$output" = "survey: models.txt: a shell cannot read this line: $DEMO -t 'x" ]
}

@test "the scripts are installed where they find the tools" {
    mkdir -p bin2 share/outliers/deploy
    unset OL_TOOLS
    cp "$TOOLS"/ol-extract "$TOOLS"/ol-analyze "$TOOLS"/ol-report bin2
    mv bin bin1
    mv bin2 bin
    for file in $(make -s -C "$ROOT" CUDA=0 -f - list <<<'include Makefile
list: ; @echo $(DEPLOY)'); do cp "$ROOT/$file" share/outliers/deploy; done
    share/outliers/deploy/part -i 1 -p 1 -o out/run.h5 "$PLANTED" --ids "$IDS"
    share/outliers/deploy/merge -o out/run.h5
    [ ! -e share/outliers/deploy/sky ]
}
