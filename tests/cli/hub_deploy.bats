# Where the network is and where it is not: a model is fetched before jobs are submitted, and
# jobs ask nobody.
load hub

setup_file() {
    load hub
    begin_hub
    mkdir -p "$BATS_FILE_TMPDIR/root/org"
    cp -r "$DEMO" "$BATS_FILE_TMPDIR/root/org/demo"
    "$PLAIN_PYTHON" "$HUB_TESTS/make_data_set.py" "$BATS_FILE_TMPDIR/root/datasets/org/texts/a.parquet" 20
}

teardown_file() { load hub && end_hub; }

setup() {
    use_hub
    unset "${!SLURM_@}" CUDA_VISIBLE_DEVICES
    export OL_TOOLS=$TOOLS
    mkdir bin
    PATH=$PWD/bin:$PATH
    printf '#!/bin/sh\necho 41\n' >bin/sbatch
    chmod +x bin/sbatch
}

@test "slurm fetches the model, and its jobs run without a network" {
    "$ROOT/extract/deploy/slurm" org/demo --dir out -- -t "$HELDOUT" -n 2 -l 64 >submitted 2>said
    [ -d "$CACHE/models--org--demo/snapshots" ]
    grep -qx '#SBATCH --mem=[0-9]*G' out/part.sbatch
    # The script of the job, as a node without a network runs it.
    SLURM_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 HF_ENDPOINT=http://127.0.0.1:9 sh out/part.sbatch >name
    [ "$(cat name)" = "$PWD/out/demo.part-1-of-1.h5" ]
    sh out/merge.sbatch
    [ -s out/results/report.html ]
    # What nobody has fetched is not waited for.
    SLURM_JOB_ID=41 run "$ROOT/extract/deploy/part" -i 1 -p 1 -o other/run.h5 org/other -t "$HELDOUT" -n 2 -l 64
    [ "$status" -eq 1 ]
    [[ "$output" == *"org/other"* ]]
    # What is not at the Hub is not submitted.
    run "$ROOT/extract/deploy/slurm" org/none --mem 1G --dir none -- -t "$HELDOUT" -n 2 -l 64
    [ "$status" -eq 1 ]
    [ ! -e none ]
}

@test "slurm fetches what a run uses of a text, too" {
    text=hf://datasets/org/texts/a.parquet
    "$ROOT/extract/deploy/slurm" org/demo --dir out -- -t "$text" -n 2 -l 64 >submitted 2>said
    grep -q "^ol-extract: $text: of $text only the footer" said
    SLURM_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 HF_ENDPOINT=http://127.0.0.1:9 sh out/part.sbatch >name
    [ -s "$(cat name)" ]
    # Of a model that is here the text alone.
    "$ROOT/extract/deploy/slurm" "$DEMO" --mem 1G --dir more -- "--text=$text" -n 2 -l 200 >submitted 2>said
    SLURM_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 HF_ENDPOINT=http://127.0.0.1:9 sh more/part.sbatch >name
    [ -s "$(cat name)" ]
}
