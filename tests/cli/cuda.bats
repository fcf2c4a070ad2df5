# The whole program with --backend cuda, on simulated devices (tests/cudasim).
# Long: starts early.
load common

SIM=$TOOLS/tests/ol-extract-sim
FAMILIES="qwen3_moe deepseek_v3 llama4 gpt_oss-mxfp4 qwen3_next"

# Under a sanitizer every run takes as long as ten.
sanitized && FAMILIES="qwen3_moe gpt_oss-mxfp4"

# golden MODEL FILE OPTION...: a whole run of a golden.
golden() {
    "$SIM" -q "$GOLDEN/$1" --ids "$GOLDEN/$1/ids.txt" -o "$2" --backend cuda --perplexity \
        --sites ln_attn,ln_mlp,residual_attn,residual_mlp --threshold 1.5 \
        --keep-every 0 "${@:3}"
}

@test "cuda: summaries are what the tensors say, whenever devices do their work" {
    cd "$BATS_TEST_TMPDIR"
    for model in $FAMILIES; do
        mkdir -p 0 1
        for schedule in 0 1; do
            (cd $schedule && CUDASIM_SCHEDULE=$schedule golden $model run.h5)
        done
        "$PYTHON" "$TESTS/oracle/summary.py" 0/run.h5 0.5
        same_run 0/run.h5 1/run.h5
        rm -r 0 1
    done
}

@test "cuda: sums of squares of what goes into weights, from the weights" {
    cd "$BATS_TEST_TMPDIR"
    golden deepseek_v3 run.h5 --precision f32 --store f32 --imatrix
    "$PYTHON" "$TESTS/oracle/latent_inputs.py" "$GOLDEN/deepseek_v3" run.h5
    "$PYTHON" "$TESTS/oracle/down_inputs.py" "$GOLDEN/deepseek_v3" run.h5
}

@test "cuda: experts that were expected in vain change no result, on two devices either" {
    cd "$BATS_TEST_TMPDIR"
    few_experts > one.ids
    for i in 1 2 3 4; do cat one.ids; done > four.ids
    export CUDASIM_DEVICES=2 CUDASIM_MIB=80
    for file in one four; do
        "$SIM" -q "$DEMO" --ids $file.ids --backend cuda --devices 0,1 --perplexity -o $file.h5
    done
    "$PYTHON" "$TESTS/oracle/first_sequence.py" one.h5 four.h5
}

@test "cuda: a run killed again and again ends with the bytes of an undisturbed one" {
    cd "$BATS_TEST_TMPDIR"
    run_it() {
        exec "$SIM" -q "$GOLDEN/qwen3_next" --ids "$GOLDEN/qwen3_next/ids.txt" -o run.h5 \
            --backend cuda --perplexity --resume --keep-every 0
    }
    killed_again 1 0.1 0.2 0.3 0.4 0.5
}

@test "cuda: a budget of device memory changes no result, and one that is too small names the least" {
    cd "$BATS_TEST_TMPDIR"
    for model in qwen3_moe gpt_oss-mxfp4; do
        run golden $model run.h5 --memory 2M
        [ "$status" -eq 1 ]
        [[ $output == *"--memory of 2 MiB cannot hold this run of "*" tokens: it needs at least "*M ]]
        least=${output##* }
        [ ! -e run.h5 ]
        [ ! -e run.h5.partial ]
        mkdir small large
        (cd small && CUDASIM_MIB=${least%M} golden $model run.h5 --memory "$least")
        (cd large && CUDASIM_MIB=2048 golden $model run.h5 --memory 2048M)
        same_run small/run.h5 large/run.h5
        rm -r small large
    done
}

@test "cuda: a device that is not there is planned like one that is" {
    cd "$BATS_TEST_TMPDIR"
    # The simulated one is free whole; what a plan leaves to a context is added.
    for budget in 400M 700M 1500M; do
        CUDASIM_MIB=2048 "$SIM" --plan --backend cuda --memory $budget "$GOLDEN/qwen3_moe" >here.json
        "$EXTRACT" --plan --device-model memory=2147483648 --memory $budget "$GOLDEN/qwen3_moe" >model.json
        "$PYTHON" -c '
import json, sys
here, model = (json.load(open(name + ".json"))["memory"] for name in ("here", "model"))
for key in ("device_bytes", "least_device_bytes"):
    assert here[key] == model[key], (key, here, model)'
    done
}

@test "cuda: devices give at most the memory that the plan says" {
    cd "$BATS_TEST_TMPDIR"
    for model in qwen3_moe gpt_oss-mxfp4; do
        size=$(awk 'NF > most { most = NF } END { print "--sequences", NR, "--length", most }' "$GOLDEN/$model/ids.txt")
        for options in "--no-summaries --devices 0" "--devices 0" "--no-summaries --devices 0,1" "--devices 0,1"; do
            # shellcheck disable=SC2086 # Several words.
            CUDASIM_DEVICES=2 golden "$model" run.h5 --store none $options
            # shellcheck disable=SC2086
            CUDASIM_DEVICES=2 "$SIM" --plan "$GOLDEN/$model" --backend cuda $size --bos none --perplexity \
                --threshold 1.5 --store none $options >plan.json
            "$PYTHON" -c '
import h5py, json
receipt = dict(h5py.File("run.h5")["receipt"].attrs)
n, peak, plan = receipt["n_devices"], receipt["peak_device_memory"], json.load(open("plan.json"))["memory"]["device_bytes"]
print(n, peak, plan)
assert n * plan / 4 < peak <= n * plan'
            rm run.h5
        done
    done
}

@test "cuda: a call that fails is one sentence, and the run is resumed" {
    cd "$BATS_TEST_TMPDIR"
    mkdir calm
    (cd calm && golden deepseek_v3 run.h5)
    resumed=0
    for call in 0 40 200 600 900 1200 1500 1800 2100 2400; do
        CUDASIM_FAILURE=$call run golden deepseek_v3 run.h5
        [ "$status" -eq 1 ] || break # past the last call
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == "ol-extract: "*CUDA* || $output == "ol-extract: cuBLAS: "* ]]
        [ ! -e run.h5 ]
        [ -e run.h5.partial ] || continue
        [ -e run.h5.partial.state ]
        golden deepseek_v3 run.h5 --resume
        same_run calm/run.h5 run.h5
        rm run.h5
        resumed=$((resumed + 1))
    done
    echo "$resumed resumed, call $call"
    [ "$resumed" -ge 2 ]
}

@test "cuda: no device, and one that is not there" {
    cd "$BATS_TEST_TMPDIR"
    CUDASIM_DEVICES=0 run golden qwen3_moe run.h5
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: no CUDA device was found: no CUDA-capable device is detected" ]
    run golden qwen3_moe run.h5 --devices 1
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: CUDA: there is no device 1: this machine has 1, counted from 0" ]
    [ ! -e run.h5 ]
    [ ! -e run.h5.partial ]
}

@test "cuda: the receipt says what passed the link and what was waited for" {
    cd "$BATS_TEST_TMPDIR"
    golden qwen3_moe cuda.h5
    "$EXTRACT" -q "$GOLDEN/qwen3_moe" --ids "$GOLDEN/qwen3_moe/ids.txt" -o cpu.h5 --backend cpu
    "$ANALYZE" cuda.h5 > cuda.json
    "$PYTHON" - "$GOLDEN"/qwen3_moe/*.safetensors <<'PY'
import h5py, json, os, sys
weights = sum(os.path.getsize(path) for path in sys.argv[1:])
cuda, cpu = (dict(h5py.File(name)["receipt"].attrs) for name in ("cuda.h5", "cpu.h5"))
names = ["bytes_fetched", "bytes_read", "compute_seconds", "copied_bytes", "copy_seconds", "disk_seconds",
         "link_bytes", "link_seconds", "n_devices", "peak_device_memory", "peer_bytes", "requests", "seconds",
         "writer_seconds"]
assert sorted(cuda) == sorted(cpu) == names
assert cpu["seconds"] > 0 and 0 < cpu["bytes_read"] <= weights
assert cuda["n_devices"] == 1
assert cpu["peer_bytes"] == cpu["copied_bytes"] == cpu["copy_seconds"] == cuda["peer_bytes"] == 0
assert 0 < cuda["copied_bytes"] <= cuda["link_bytes"]
assert cpu["n_devices"] == cpu["link_bytes"] == cpu["peak_device_memory"] == cpu["link_seconds"] == cpu["compute_seconds"] == 0
assert 0 < cuda["bytes_read"] <= weights < cuda["link_bytes"] + weights / 2
assert 1 << 20 < cuda["peak_device_memory"] <= 64 << 20
waits = [cuda[name] for name in names if name.endswith("_seconds")]
assert min(waits) >= 0 and sum(waits) <= 1.05 * cuda["seconds"] and cuda["compute_seconds"] > 0
copied = json.load(open("cuda.json"))["run"]["receipt"]
assert copied.pop("peak_memory") == h5py.File("cuda.h5").attrs["peak_memory"]
assert sorted(copied) == names
for name in names:
    assert abs(copied[name] - cuda[name]) <= 1e-9 * abs(cuda[name])
PY
}

# on DEVICES MODEL OPTION...: the golden as run.h5 in a folder of its own. The lists of
# devices are of one length, so that files may be compared byte by byte.
on() {
    declare -A lists=([1]=00000 [2]="0,001" [3]="0,1,2" [swapped]="001,0"
        [one]=000000000000000 [two]="0,0000000000001" [four]="0,1,2,000000003" [eight]="0,1,2,3,4,5,6,7")
    rm -rf "$1"
    mkdir "$1"
    (cd "$1" && golden "$2" run.h5 --devices "${lists[$1]}" "${@:3}")
}

@test "cuda: the same bytes on one device and on several" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=3
    for model in $FAMILIES qwen2_moe deepseek_v4; do
        for precision in bf16 f32; do
            # In f32 a usual one, one with a delta net, and one with several streams.
            case $precision-$model in f32-qwen3_moe | f32-qwen3_next | f32-deepseek_v4) ;; f32-*) continue ;; esac
            CUDASIM_SCHEDULE=0 on 1 $model --precision $precision
            CUDASIM_SCHEDULE=2 on 2 $model --precision $precision
            CUDASIM_SCHEDULE=5 on 3 $model --precision $precision
            same_run 1/run.h5 2/run.h5
            same_run 1/run.h5 3/run.h5
            h5dump -a /receipt/n_devices 3/run.h5 | grep -q '(0): 3'
        done
    done
    on swapped qwen3_moe
    on 1 qwen3_moe
    same_run 1/run.h5 swapped/run.h5
    # No more devices than sequences.
    head -n 2 "$GOLDEN/llama/ids.txt" > two.txt
    "$SIM" -q "$GOLDEN/llama" --ids two.txt -o two.h5 --backend cuda --devices 0,1,2
    h5dump -a /receipt/n_devices two.h5 | grep -q '(0): 2'
    # A weight is read once, for however many devices.
    [ "$(h5dump -a /receipt/bytes_read 1/run.h5 | grep '(0)')" = "$(h5dump -a /receipt/bytes_read swapped/run.h5 | grep '(0)')" ]
}

# link RUN: bytes that crossed the links of all its devices.
link() {
    h5dump -a /receipt/link_bytes "$1/run.h5" | sed -n 's/.*(0): //p'
}

@test "cuda: the same bytes on devices that bring weights to each other, with the least memory too" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=8 CUDASIM_PEERS=2
    for model in llama qwen3_moe qwen3_moe-fp8 gpt_oss-mxfp4; do
        CUDASIM_SCHEDULE=0 on one $model
        CUDASIM_SCHEDULE=1 on two $model
        CUDASIM_SCHEDULE=2 on four $model
        CUDASIM_SCHEDULE=0 on eight $model
        same_run one/run.h5 two/run.h5
        same_run one/run.h5 four/run.h5
        same_run one/run.h5 eight/run.h5
    done
    shared=$(link two)
    CUDASIM_PEERS=1 on two $model
    same_run one/run.h5 two/run.h5
    echo "$shared bytes over the links, $(link two) where all weights pass both"
    [ "$shared" -lt "$(link two)" ]
    # What says how weights go is for people.
    run "$SIM" -v "$GOLDEN/llama" --ids "$GOLDEN/llama/ids.txt" -o v.h5 --backend cuda --devices 0,1
    [[ $output == *"weights: each over the link of one device, and from there to the others: devices reach each other by links of their own"* ]]
    CUDASIM_PEERS=1 run "$SIM" -v "$GOLDEN/llama" --ids "$GOLDEN/llama/ids.txt" -o v2.h5 --backend cuda --devices 0,1
    [[ $output == *"weights: each over the link of every device: device 0 reaches device 1 by the host's bus only"* ]]
    CUDASIM_MIB=256 "$SIM" --plan "$GOLDEN/llama" --backend cuda --devices 0,1,2 >plan.json
    "$PYTHON" -c 'import json
assert json.load(open("plan.json"))["sharing"] == {"devices": 3, "links_of_each_weight": 1,
    "because": "devices reach each other by links of their own"}'
    run golden qwen3_moe run.h5 --memory 2M --devices 0,1
    least=${output##* }
    mkdir small large
    (cd small && CUDASIM_MIB=${least%M} golden qwen3_moe run.h5 --memory "$least" --devices 0,1)
    (cd large && CUDASIM_MIB=2048 golden qwen3_moe run.h5 --memory 2048M --devices 0,1)
    same_run small/run.h5 large/run.h5
}

@test "cuda: one of several devices fails: one sentence, and the run is resumed on any number" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=3
    on 1 qwen2_moe
    resumed=0
    for call in 300 700 1100 1500 1700 1800 1900 2300 2700; do
        CUDASIM_FAILURE=$call run on 2 qwen2_moe
        [ "$status" -eq 1 ] || break # past the last call
        echo "$output"
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == "ol-extract: "*CUDA* || $output == "ol-extract: cuBLAS: "* ]]
        [ -e 2/run.h5.partial ] || continue
        devices=0,001
        [ $((resumed % 2)) -eq 1 ] || devices=0,1,2
        (cd 2 && golden qwen2_moe run.h5 --devices $devices --resume)
        same_run 1/run.h5 2/run.h5
        resumed=$((resumed + 1))
    done
    echo "$resumed resumed, call $call"
    [ "$resumed" -ge 2 ]
}

@test "cuda: lists of devices that cannot be" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=2
    run golden qwen3_moe run.h5 --devices 0,2
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: CUDA: there is no device 2: this machine has 2, counted from 0" ]
    run golden qwen3_moe run.h5 --devices 1,0,1
    [ "$status" -eq 2 ]
    [ "$output" = "ol-extract: --devices 1,0,1: device 1 is there twice (try 'ol-extract --help')" ]
    for list in "," "0," ",1" a 0-1 -1 "0, 1" 99999999999; do
        run golden qwen3_moe run.h5 --devices "$list"
        [ "$status" -eq 2 ]
        [ "$output" = "ol-extract: --devices $list: expected at most 32 numbers like 0,1 (try 'ol-extract --help')" ]
    done
    [ ! -e run.h5 ]
    [ ! -e run.h5.partial ]
}
