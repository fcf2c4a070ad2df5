# Models whose residual stream is several streams, and whose first routers are tables.
load common

SIM=$TOOLS/tests/ol-extract-sim

setup() {
    cd "$BATS_TEST_TMPDIR"
    model=$GOLDEN/deepseek_v4
}

@test "a run of several streams that stopped goes on with all of them" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    stopped_anywhere 900 60 -q "$model" --ids "$model/ids.txt" --perplexity
}

@test "threads do not show, and an arm's dimension is held in every stream" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    mkdir one three
    for n in 1 3; do
        [ $n = 1 ] && cd one || cd three
        "$EXTRACT" -q "$model" --ids "$model/ids.txt" -o run.h5 --perplexity --threads $n --ablate zero:0 --sites ln_attn,residual_mlp
        cd ..
    done
    "$PYTHON" - one/run.h5 three/run.h5 <<'PY'
import h5py, sys
one, three = (h5py.File(path) for path in sys.argv[1:])
def same(name, x):
    if isinstance(x, h5py.Dataset) and x.dtype.kind in "fiu":
        assert x[()].tobytes() == three[name][()].tobytes(), name
one.visititems(same)
for l in range(4):
    assert abs(one[f"layers/{l:03}/residual_mlp"][()][..., 0]).max() > 0
maxima = one["ablation/maxima"][()]
assert (maxima[:, 0] == 0).all() and maxima[:, 1:].max() > 6
# What is written to the mean of the streams is not known: of each dimension the value alone.
writes = one["layers/003/summary/writes"][()].reshape(12, 9, 8, -1)
known = (writes != 0) & (writes == writes)
assert known[..., 0].any() and not known[..., 1:].any()
PY
}

@test "each stream after each layer, against transformers; threads, devices, parts and stops do not show" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    export CUDASIM_DEVICES=3
    streams() { "$PYTHON" "$TESTS/oracle/streams.py" "$@"; }
    for name in deepseek_v4 deepseek_v4-nested deepseek_v4-fp4; do
        run=(-q "$GOLDEN/$name" --ids "$GOLDEN/$name/ids.txt" --store none --precision f32)
        "$EXTRACT" "${run[@]}" --backend cpu --threads 1 -o one.h5
        "$SIM" "${run[@]}" --backend cuda -o device.h5
        streams compare $name one.h5
        streams compare $name device.h5
        "$ANALYZE" --statistics residual_streams one.h5 -o one.json
        streams check one.json one.h5
    done
    run=(-q "$model" --store none --ids)
    "$EXTRACT" "${run[@]}" "$model/ids.txt" --backend cpu --threads 1 -o one.h5
    "$EXTRACT" "${run[@]}" "$model/ids.txt" --backend cpu --threads 3 --layers 1,3 --ablate zero:0 -o three.h5
    "$SIM" "${run[@]}" "$model/ids.txt" --backend cuda -o device.h5
    "$SIM" "${run[@]}" "$model/ids.txt" --backend cuda --devices 2,0,1 -o devices.h5
    for l in 1 3; do h5diff one.h5 three.h5 /layers/00$l/summary/streams; done
    for l in 0 1 2 3; do h5diff device.h5 devices.h5 /layers/00$l/summary/streams; done
    "$ANALYZE" --statistics residual_streams three.h5 -o three.json
    streams check three.json three.h5
    # Parts of a run come to what the whole does.
    "$EXTRACT" "${run[@]}" "$model/ids.txt" --backend cpu --part 1/2 -o a.h5
    "$EXTRACT" "${run[@]}" "$model/ids.txt" --backend cpu --part 2/2 -o b.h5
    "$ANALYZE" --statistics residual_streams one.h5 -o whole.json
    "$ANALYZE" --statistics residual_streams a.part-1-of-2.h5 b.part-2-of-2.h5 -o parts.json
    streams check parts.json a.part-1-of-2.h5 b.part-2-of-2.h5
    "$PYTHON" - <<'PY'
import json
whole, parts = (json.load(open(name + ".json"))["residual_streams"] for name in ("whole", "parts"))
def same(a, b):
    if isinstance(a, float) and b is not None:  # sums of squares are put together in another order
        return abs(a - b) <= 1e-12 * abs(a)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return all(map(same, a, b)) and len(a) == len(b) if isinstance(a, list) else a == b
assert same(whole, parts)
PY
    "$REPORT" whole.json > report.md
    grep -q 'Of 4 residual streams, stream [0-3] carries the largest value' report.md
    grep -q 'largest magnitude of stream [0-3]' report.md
    [ "$("$REPORT" -f csv --table residual_streams whole.json | wc -l)" -eq 17 ]
    "$REPORT" -f svg --figure residual_streams whole.json | grep -q '</svg>'
    # A family of one stream has neither the table nor the block.
    "$EXTRACT" -q "$GOLDEN/llama" --ids "$GOLDEN/llama/ids.txt" --store none -o llama.h5
    "$ANALYZE" llama.h5 -o llama.json
    "$PYTHON" -c 'import h5py, json; f = h5py.File("llama.h5"); assert not any("streams" in l["summary"] for l in f["layers"].values()); assert json.load(open("llama.json"))["residual_streams"] is None'
    ! "$REPORT" llama.json | grep -qi 'residual streams' || false
}

@test "a file whose layers have different numbers of streams is refused" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    "$EXTRACT" -q "$model" --ids "$model/ids.txt" --store none -o run.h5
    "$PYTHON" - <<'PY'
import h5py
summary = h5py.File("run.h5", "r+")["layers/002/summary"]
rows = summary["streams"][:3]
del summary["streams"]
summary.create_dataset("streams", data=rows, chunks=rows.shape)
PY
    run "$ANALYZE" run.h5
    [ "$status" -eq 1 ]
    [[ $output == *"run.h5: /layers/002: found 3 residual streams, expected 4" ]]
}

@test "an indexer is read where it chooses, and chooses all where these are few" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    value() { "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["run"]["bytes_read"])' "$1"; }
    # Two entries of two tokens are all that index_topk takes: the next one is whole with a sixth.
    "$EXTRACT" --plan "$model" -n 1 -l 5 > five.json
    "$EXTRACT" --plan "$model" -n 1 -l 6 > six.json
    entries=$((2 * 24 * 40 * 2 + 2 * 24 * 4 + 12 * 4)) # values and gates in BF16, places and a norm in F32
    indexer=$((2 * (entries + 4 * 12 * 20 * 2 + 4 * 40 * 2))) # two layers
    [ $(($(value six.json) - $(value five.json))) -eq $((indexer + 40 * 2)) ] # and a row more of the embedding
    awk 'NF <= 5' "$model/ids.txt" > short.txt
    "$EXTRACT" -q "$model" --ids "$model/ids.txt" -o all.h5 --precision f32 --store f32 --backend cpu
    "$EXTRACT" -q "$model" --ids short.txt -o short.h5 --precision f32 --store f32 --backend cpu
    "$PYTHON" - all.h5 short.h5 <<'PY'
import h5py, sys
whole, short = (h5py.File(path) for path in sys.argv[1:])
lengths = whole["input/lengths"][()]
rows = [i for i, n in enumerate(lengths) if n <= 5]
assert len(rows) >= 5 and (short["input/lengths"][()] == lengths[rows]).all()
for l in range(4):
    for site in ("ln_attn", "ln_mlp", "router_ids"):
        a, b = whole[f"layers/{l:03}/{site}"][()], short[f"layers/{l:03}/{site}"][()]
        assert (a[rows][:, :5] == b).all(), (l, site)
PY
}

@test "scales of FP8 may be floats, as in the files of base models" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    cp -r "$GOLDEN/deepseek_v4-fp4" base && chmod -R u+w base
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import struct
from fuse_experts import load, save
tensors = load("base/model.safetensors")
n = 0
for name, (dtype, shape, data) in tensors.items():
    if name.endswith(".scale") and ".ffn.experts." not in name:
        assert dtype == "F8_E8M0"
        tensors[name] = ("F32", shape, b"".join(struct.pack("<f", 2.0 ** (byte - 127)) for byte in data))
        n += 1
assert n > 10
save("base/model.safetensors", tensors)
PY
    for name in "$GOLDEN/deepseek_v4-fp4" base; do
        "$EXTRACT" -q "$name" --ids "$GOLDEN/deepseek_v4-fp4/ids.txt" -o "$(basename "$name").h5" --perplexity
    done
    "$PYTHON" "$TESTS/oracle/same_datasets.py" deepseek_v4-fp4.h5 base.h5
}

@test "a table that gives an expert twice, or one that is not there, is refused" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    for value in 4 10 -1; do
        rm -rf copy
        cp -r "$model" copy && chmod -R u+w copy
        PYTHONPATH=$TESTS/tools "$PYTHON" - "$value" <<'PY'
import struct, sys
from fuse_experts import load, save
tensors = load("copy/model.safetensors")
dtype, shape, data = tensors["layers.0.ffn.gate.tid2eid"]
assert dtype == "I64", dtype
value = int(sys.argv[1])
tensors["layers.0.ffn.gate.tid2eid"] = (
    dtype, shape, b"".join(struct.pack("<3q", 2, 4, value) for _ in range(shape[0])))
save("copy/model.safetensors", tensors)
PY
        run "$EXTRACT" -q copy --ids copy/ids.txt -o run.h5
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"layer 0: the table of experts (tid2eid) gives expert $value to token "*", expected 3 different ones below 10" ]]
        [ ! -e run.h5 ]
    done
}

@test "a file of several streams is analysed and reported" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    "$EXTRACT" -q "$model" --ids "$model/ids.txt" -o run.h5
    "$ANALYZE" run.h5 | "$REPORT" - > report.md
    grep -q 'deepseek_v4' report.md
}
