load common

@test "the same bytes for one thread and two" {
    cd "$BATS_TEST_TMPDIR"
    for precision in bf16 f32; do
        for threads in 1 2; do
            mkdir -p $threads
            (cd $threads && "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 3 -l 150 --perplexity \
                --precision $precision --threads $threads -o run.h5)
        done
        same_run 1/run.h5 2/run.h5
        rm -r 1 2
    done
}

@test "a run killed again and again ends with the bytes of an undisturbed one" {
    cd "$BATS_TEST_TMPDIR"
    # shellcheck disable=SC2317 # killed_again runs it.
    run_it() { exec "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 16 -l 512 --perplexity --resume --keep-every 0 -o run.h5; }
    killed_again 2 0.02 0.05 0.1 0.15 0.2 0.25 0.3 0.4
}

@test "SIGTERM: the layer is finished and kept; without it the states are kept by time" {
    cd "$BATS_TEST_TMPDIR"
    mkdir calm
    run_it() { exec "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 16 -l 512 --perplexity --threads 1 -o run.h5 "$@"; }
    (cd calm && run_it --resume) # of the command line that ends the other one
    run_it 2> err &
    pid=$!
    while [ ! -e run.h5.partial.state ]; do sleep 0.005; done
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    cat err
    [ "$status" -eq 143 ]
    grep -q 'asked to end (SIGTERM): stopped after layer [0-9]*, --resume goes on from there$' err
    [ ! -e run.h5 ]
    [ -e run.h5.partial ]
    tr -d '\0' < run.h5.partial.state | grep -aq 'layer [0-9]* sha256'
    (run_it --resume)
    same_run calm/run.h5 run.h5
    # Killed within the first 20 seconds it begins anew.
    rm run.h5
    run_it --resume &
    pid=$!
    while [ ! -e run.h5.partial.state ]; do sleep 0.005; done
    sleep 0.1
    kill -KILL $pid
    wait $pid || true
    not sh -c "cat run.h5.partial.state | tr -d '\0' | grep -aq 'layer [0-9]* sha256'"
    (run_it --resume)
    same_run calm/run.h5 run.h5
}

@test "a memory budget changes no result, and one that is too small names the least" {
    cd "$BATS_TEST_TMPDIR"
    for precision in bf16 f32; do
        run_it() { "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 8 -l 300 --perplexity --precision $precision "$@"; }
        run run_it --memory 2M -o run.h5
        [ "$status" -eq 1 ]
        [[ $output == *"--memory of 2 MiB cannot hold this run of 2400 tokens: it needs at least "*M ]]
        least=${output##* }
        [ ! -e run.h5 ]
        [ ! -e run.h5.partial ]
        mkdir -p small large
        (cd small && run_it -q --memory "$least" -o run.h5)
        (cd large && run_it -q --memory 4G -o run.h5)
        h5dump -a /peak_memory small/run.h5 > peak
        peak=$(sed -n 's/ *(0): //p' peak)
        [ "$peak" -gt 1000000 ]
        # The address sanitizer keeps memory of its own.
        sanitized || [ "$peak" -le $((${least%M} * 1048576)) ]
        # h5diff names what differs: only attributes that say how the run was made.
        run h5diff small/run.h5 large/run.h5
        [[ $output == *"attribute: <peak_memory"* && $output != *"dataset:"* ]]
        rm -r small large
    done
}

# Where the layer before chose nearly all of its experts, those of the next are fetched ahead
# of the router, which here chooses few.
@test "experts that were expected in vain change no result" {
    cd "$BATS_TEST_TMPDIR"
    few_experts > one.ids
    cat one.ids one.ids one.ids one.ids > four.ids
    for file in one four; do
        "$EXTRACT" -q "$DEMO" --ids $file.ids --perplexity -o $file.h5
    done
    "$PYTHON" "$TESTS/oracle/first_sequence.py" one.h5 four.h5
    # Of one sequence nothing is expected; of four the experts of layers 0 and 4, 7 each in
    # vain, and, before that is known, of layers 1 and 5, 6 and 4 in vain: of 3 x 128 x 64
    # weights in bf16 each.
    read=$(h5dump -a /receipt/bytes_read one.h5 | sed -n 's/ *(0): //p')
    more=$(h5dump -a /receipt/bytes_read four.h5 | sed -n 's/ *(0): //p')
    echo "$read bytes, $more"
    [ "$more" -le $((read + 24 * 3 * 128 * 64 * 2)) ]
    # A budget that holds few of them ahead.
    "$EXTRACT" -q "$DEMO" --ids four.ids --perplexity -o least.h5 --memory 128M
    same_run four.h5 least.h5
}

@test "two processes do not resume one run at once" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 16 -l 512 --perplexity --threads 1 -o run.h5 >/dev/null &
    pid=$!
    while [ ! -e run.h5.partial.state ]; do sleep 0.005; done
    kill -STOP $pid
    run "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 16 -l 512 --perplexity --threads 1 -o run.h5 --resume
    kill -CONT $pid
    wait $pid
    [ "$status" -eq 1 ]
    echo "$output" | grep -q 'another process is at work on this run'
    [ -e run.h5 ]
    [ ! -e run.h5.partial ]
}

@test "without --resume an unfinished run is left alone" {
    cd "$BATS_TEST_TMPDIR"
    echo precious > run.h5.partial
    run "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.h5
    [ "$status" -eq 1 ]
    [ "$(cat run.h5.partial)" = precious ]
}

@test "--layers, --sites and --store choose what is in the file" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --layers 0,2-3 --store f32 \
        --sites residual_mlp,ln_attn
    "$PYTHON" - <<'PY'
import h5py
f = h5py.File("run.h5")
assert sorted(f["layers"]) == ["000", "002", "003"]
for layer in f["layers"].values():
    assert sorted(layer) == [
        "ln_attn", "residual_mlp", "router_ids", "router_weights", "summary"]
    assert layer["ln_attn"].dtype == "float32"
    assert sorted(layer["summary"]) == [
        "attention", "down", "ln_attn", "mixed_heads", "output", "rounded", "top_features", "units",
        "writes"]
PY
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o none.h5 --store none --no-summaries
    "$PYTHON" - <<'PY'
import h5py
f = h5py.File("none.h5")
assert "summary" not in f
for layer in f["layers"].values():
    assert sorted(layer) == ["router_ids", "router_weights"]
PY
}

# Models with experts, shared experts (with and without a switch), dense layers among MoE
# layers, experts whose input is scaled, delta nets, layers that are one thing.
@test "summaries are what the tensors say, and writes add up to the stream's change" {
    cd "$BATS_TEST_TMPDIR"
    for model in olmoe qwen2_moe deepseek_v3 llama4 gpt_oss qwen3_next qwen3 \
        olmo2 phi3 gpt2 gemma3 nemotron_h nemotron_h-latent nemotron_h-dense; do
        for precision in f32 bf16; do
            "$EXTRACT" -q "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" -o "$model.h5" \
                --sites ln_attn,ln_mlp,residual_attn,residual_mlp --threshold 1.5 \
                --precision $precision --store $precision
            "$PYTHON" "$TESTS/oracle/summary.py" "$model.h5" 0.5
        done
    done
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 3 -l 131 --threshold 2.5 -o demo.h5 \
        --sites ln_attn,ln_mlp,residual_attn,residual_mlp
    "$PYTHON" "$TESTS/oracle/summary.py" demo.h5 0.1
}

@test "summaries are the same bytes for any number of threads and any budget" {
    cd "$BATS_TEST_TMPDIR"
    for threads in 1 3 17; do
        "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" -o run.h5 \
            --threads $threads --threshold 1.5
        "$PYTHON" - >> sums <<'PY'
import hashlib, h5py
sums = hashlib.sha256()
h5py.File("run.h5").visititems(
    lambda name, x: sums.update(x[()].tobytes())
    if isinstance(x, h5py.Dataset) and "summary" in name else None)
print(sums.hexdigest())
PY
    done
    [ "$(sort -u sums | wc -l)" -eq 1 ]
}

@test "the file is read by h5py and h5dump as documented" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 2 -l 100 --perplexity -o run.h5
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 2 -l 100 --store f32 -o f32.h5
    "$PYTHON" - <<'PY'
import h5py
import numpy as np
f, g = h5py.File("run.h5"), h5py.File("f32.h5")
assert f.attrs["format"] == "ol-activations" and f.attrs["complete"] == 1
assert f["model"].attrs["n_experts"] == 16 and f["model"].attrs["name"] == "demo"
x, y = f["layers/003/ln_mlp"], g["layers/003/ln_mlp"]
assert x.shape == (2, 100, 128) and x.chunks == (1, 100, 128)
assert np.array_equal(x[:].astype("f4"), y[:])  # bf16 values either way
assert x[:].astype("f4").std() > 0.1
for i in range(2):
    assert x.id.get_chunk_info(i).byte_offset % 4096 == 0
pieces = dict(zip(f["input/piece_ids"][:], f["input/pieces"][:]))
text = "".join(pieces[i].decode() for i in f["input/token_ids"][0])
assert open(__import__("os").environ["HELDOUT"]).read().startswith(text)
nll = f["input/nll"][:]
assert np.isnan(nll[:, 0]).all() and (nll[:, 1:] > 0).all()
weights = f["layers/000/router_weights"][:]
assert np.allclose(weights.sum(-1), 1, atol=1e-2) and (weights[..., 0] >= weights[..., 1]).all()
PY
    h5dump -d '/layers/000/ln_attn[0,0,0;1,1,1;1,1,4]' run.h5 | grep -q '(0,0,0): -\?[0-9]*\.[0-9]'
}

@test "text arrives the same way plain, compressed, as JSON lines, by pipe and as ids" {
    cd "$BATS_TEST_TMPDIR"
    head -c 4000 "$HELDOUT" > t.txt
    gzip -k t.txt
    zstd -q -k t.txt
    "$PYTHON" -c "
import json
print(json.dumps({'body': open('t.txt').read()}))" > t.jsonl
    "$EXTRACT" --tokenize -t t.txt "$DEMO" > plain
    "$EXTRACT" --tokenize -t t.txt.gz "$DEMO" | cmp - plain
    "$EXTRACT" --tokenize -t t.txt.zst "$DEMO" | cmp - plain
    "$EXTRACT" --tokenize -t t.jsonl --text-field body "$DEMO" | cmp - plain
    "$EXTRACT" --tokenize -t - "$DEMO" < t.txt | cmp - plain
    "$EXTRACT" --tokenize --ids plain "$DEMO" | cmp - plain
    [ "$(wc -l < plain)" -eq 1 ]
    # Windows: the same ids, cut.
    "$EXTRACT" --tokenize -t t.txt -n 3 -l 20 "$DEMO" > windows
    [ "$(wc -l < windows)" -eq 3 ]
    [ "$(tr '\n' ' ' < windows)" = "$(cut -d' ' -f1-60 plain) " ]
}

@test "windowing reference: half windows overlap" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" --tokenize --windowing reference -t "$HELDOUT" -n 3 -l 64 "$DEMO" > windows
    "$PYTHON" - <<'PY'
rows = [list(map(int, line.split())) for line in open("windows")]
assert len(rows) == 3
for a, b in zip(rows, rows[1:]):
    assert abs(len(b) - 64) <= 3
    # Encoding again may join tokens at the cut; behind it both agree.
    assert a[36:60] == b[4:28] or a[36:58] == b[3:25] or a[36:58] == b[5:27], (a, b)
PY
}

@test "windowing reference: the study's sequences, to the id" {
    local case name n length
    for case in "$TESTS"/golden/windows/*.ids; do
        length=${case##*-} name=${case%-*}
        n=${name##*-} name=$(basename "${name%-*}")
        "$EXTRACT" --tokenize --windowing reference -t "$TESTS/golden/windows/docs.jsonl" -n "$n" -l "${length%.ids}" \
            "$TESTS/golden/tokenizers/$name" >"$BATS_TEST_TMPDIR/got"
        diff "$BATS_TEST_TMPDIR/got" "$case"
    done
}

# What seals the file is written last.
@test "a write that fails while the file is sealed does not lose the run" {
    cd "$BATS_TEST_TMPDIR"
    sanitized && skip "the shim is no sanitizer's"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o calm.h5 --perplexity
    failing() { FAULT_CALL=pwrite FAULT_ERROR=ENOSPC FAULT_ON_FROM=1 LD_PRELOAD=$TOOLS/tests/fault.so "$@"; }
    FAULT_COUNT=$PWD/calls FAULT_AT=0 failing "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --perplexity
    rm run.h5
    local n sealed=0
    n=$(cat calls)
    for before in 0 1 2 5 20; do
        status=0
        FAULT_AT=$((n - before)) failing "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --perplexity --keep-every 0 2> err || status=$?
        [ "$status" -eq 1 ]
        [ "$(wc -l < err)" -eq 1 ]
        grep -q 'No space left on device' err
        [ -e run.h5.partial ]
        [ ! -e run.h5.partial.undo ] || sealed=$((sealed + 1))
        "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --perplexity --resume
        [ "$(ls run.h5*)" = run.h5 ]
        same_run calm.h5 run.h5
        rm run.h5
    done
    [ $sealed -ge 1 ]
}

# --plan says it, and the beginning of the run takes it: no run ends for want of it.
@test "the room that is planned is the room that is needed" {
    cd "$BATS_TEST_TMPDIR"
    mkdir small
    mount -t tmpfs tmpfs small 2>/dev/null || skip "no right to mount"
    umount small
    local page=4096 slack=65536 # the directory, and the ends of files
    for options in "-n 2 -l 64" "-n 2 -l 64 --imatrix --perplexity" "-n 40 -l 8 --store f32"; do
        planned=$("$EXTRACT" --plan $options "$DEMO" | sed -n 's/ *"disk_bytes": \([0-9]*\).*/\1/p')
        mount -t tmpfs -o size=$((planned / page * page + slack)) tmpfs small
        "$EXTRACT" -q $options "$DEMO" -t "$HELDOUT" -o small/run.h5
        [ "$(ls small)" = run.h5 ]
        umount small
        mount -t tmpfs -o size=$((planned * 9 / 10 / page * page)) tmpfs small
        run "$EXTRACT" -q $options "$DEMO" -t "$HELDOUT" -o small/run.h5
        left=$(ls small)
        umount small
        [ "$status" -eq 1 ]
        [ -z "$left" ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"too small"* || $output == *"no room for"* ]]
    done
}

@test "a full disk stops the run with one line and --resume finishes it" {
    cd "$BATS_TEST_TMPDIR"
    mkdir small
    mount -t tmpfs -o size=600k tmpfs small 2>/dev/null || skip "no right to mount"
    run "$EXTRACT" "$PLANTED" --ids "$IDS" -o small/run.h5 --store f32
    first=$status
    left=$(ls small)
    mount -o remount,size=10m small
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o small/run.h5 --store f32 --resume
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --store f32
    same='command_line|created|seconds|peak_memory'
    "$ANALYZE" small/run.h5 | grep -vE "$same" > a
    "$ANALYZE" run.h5 | grep -vE "$same" > b
    umount small
    [ "$first" -eq 1 ]
    echo "$output" | grep -q 'too small\|No space left'
    [ -z "$left" ]
    cmp a b
}
