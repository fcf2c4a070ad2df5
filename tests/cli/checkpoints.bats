# Checkpoints as they are found in the field: experts fused, shards that overlap, files that
# say what config.json does not, downloads that were cut off.
load common

setup() {
    cd "$BATS_TEST_TMPDIR"
}

# A golden model that may be changed.
copy() {
    cp -r "$GOLDEN/$1" model && chmod -R u+w model
}

f32() {
    "$EXTRACT" -q --precision f32 --store f32 --perplexity "$@"
}

# One value of a JSON file.
value() { "$PYTHON" -c 'import json, sys
x = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    x = x[int(key)] if key.isdigit() else x[key]
print(x)' "$1" "$2"; }

@test "experts fused by transformers 5 are the same experts, for every family" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    for name in deepseek_v2 deepseek_v3 deepseek_v32-chosen deepseek_v4 ernie4_5_moe glm4_moe glm4_moe_lite \
        glm4v_moe glm_moe_dsa hy_v3 minimax_m2 mistral4-plain mixtral nemotron_h nemotron_h-latent olmoe \
        qwen2_moe qwen3_moe qwen3_next qwen3_moe-fp8-block qwen3_moe-mxfp8 qwen3_moe-nvfp4 qwen3_moe-mxfp4-packed \
        qwen3_moe-int4 qwen3_moe-modelopt; do
        echo "$name"
        "$PYTHON" "$TESTS/tools/fuse_experts.py" "$GOLDEN/$name" fused
        f32 "$GOLDEN/$name" --ids "$GOLDEN/$name/ids.txt" -o apart.h5
        f32 fused --ids "$GOLDEN/$name/ids.txt" -o fused.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" apart.h5 fused.h5
        rm -r fused apart.h5 fused.h5
    done
}

@test "FP8 blocks that hold rows of two fused matrices are refused" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    PYTHONPATH=$TESTS/tools "$PYTHON" - "$GOLDEN/kimi_k2-fp8" <<'PY'
import os, shutil, sys
import fuse_experts as f
t = f.load(sys.argv[1] + "/model.safetensors")
out = {}
for name, (dtype, shape, data) in t.items():
    m = f.EXPERT.match(name)
    if m and m[5] and f.PLACES[m[4]][0] == "gate_up_proj":  # 42 rows have 3 blocks of 16
        shape, data = ([1, 3], data[:12]) if f.PLACES[m[4]][1] else ([2, 3], data[:24])
    out[name] = (dtype, shape, data)
os.makedirs("model")
shutil.copy(sys.argv[1] + "/config.json", "model")
fused = f.fuse(out)
for name, (dtype, shape, data) in fused.items():
    if name.endswith("gate_up_proj_scale_inv"):
        fused[name] = (dtype, [shape[0], 3, 3], data)
f.save("model/model.safetensors", fused)
PY
    run "$EXTRACT" -q model --ids "$GOLDEN/kimi_k2-fp8/ids.txt" -o out.h5
    [ "$status" -eq 1 ]
    [[ $output == *"a block of 16 rows holds rows of gate and of up, which is not supported" ]]
}

@test "of a tensor in two shards the index says which counts" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    copy qwen3_moe
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import json, os
import fuse_experts as f
t = f.load("model/model.safetensors")
os.remove("model/model.safetensors")
names = sorted(t)
middle = len(names) // 2
first, second = dict.fromkeys(names[:middle]), dict.fromkeys(names[middle:])
shards = [{n: t[n] for n in first}, {n: t[n] for n in second}]
stale = names[0]  # a copy of other values, left behind in the second
dtype, shape, data = t[stale]
shards[1][stale] = (dtype, shape, bytes(len(data)))
for i, shard in enumerate(shards):
    f.save(f"model/{i}.safetensors", shard)
where = {n: "0.safetensors" for n in first} | {n: "1.safetensors" for n in second}
where["model.layers.9.mtp.weight"] = "1.safetensors"
json.dump({"weight_map": where}, open("model/model.safetensors.index.json", "w"))
PY
    f32 "$GOLDEN/qwen3_moe" --ids "$GOLDEN/qwen3_moe/ids.txt" -o one.h5
    f32 model --ids model/ids.txt -o two.h5 2> messages
    "$PYTHON" "$TESTS/oracle/same_datasets.py" one.h5 two.h5
    [ "$(cat messages)" = "ol-extract: model: the index lists 1 tensors that are not in their files, such as model.layers.9.mtp.weight; this model needs none of them" ]
    # The same entry, of a tensor that the model needs.
    sed -i 's/"model.norm.weight": "1.safetensors"/"model.norm.weight": "0.safetensors"/' \
        model/model.safetensors.index.json
    run "$EXTRACT" -q model --ids model/ids.txt -o out.h5
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: model: the index says that tensor model.norm.weight is in 0.safetensors, but it is not there" ]
    # Half of a download.
    rm model/0.safetensors
    run "$EXTRACT" -q model --ids model/ids.txt -o out.h5
    [ "$status" -eq 1 ]
    [ "$output" = "ol-extract: model: the download is not complete: 1 of 2 shards are there, 0.safetensors is missing" ]
    # It can be planned, with none of its shards too.
    "$EXTRACT" --plan model -n 1 -l 8 > plan.json 2> messages
    [ "$(value plan.json weights.known_from)" = config.json ]
    grep -q "1 of 2 shards are there, .* this plan is made from config.json alone" messages
    rm model/1.safetensors
    "$EXTRACT" --plan model -n 1 -l 8 > plan.json 2> messages
    grep -q "0 of 2 shards are there" messages
}

@test "a snapshot of the cache is called by its model's name" {
    commit=0123456789abcdef0123456789abcdef01234567
    mkdir -p hub/models--some--tiny/snapshots
    cp -r "$GOLDEN/qwen3" hub/models--some--tiny/snapshots/$commit
    export HF_HUB_CACHE=$PWD/hub
    for model in "hub/models--some--tiny/snapshots/$commit" \
        "hub/models--some--tiny/snapshots/$commit/" some/tiny; do
        "$EXTRACT" --plan "$model" -n 1 -l 8 > plan.json
        [ "$(value plan.json model.name)" = some/tiny ]
    done
    "$EXTRACT" --plan "some/tiny@$commit" -n 1 -l 8 > plan.json
    [ "$(value plan.json model.name)" = "some/tiny@$commit" ]
    [ "$("$EXTRACT" -q "hub/models--some--tiny/snapshots/$commit" --ids "$GOLDEN/qwen3/ids.txt")" = tiny.h5 ]
    HF_HUB_OFFLINE=1 run "$EXTRACT" -q some/tiny@none --ids "$GOLDEN/qwen3/ids.txt"
    [ "$status" -eq 1 ]
    [[ $output == *"/refs/none: is not there; the cache has the revisions "*" and the commits $commit"* ]]
}

@test "a method that only hf_quant_config.json names is read and planned" {
    copy qwen3_moe-modelopt
    "$EXTRACT" --plan model -n 1 -l 8 > whole.json
    [ "$(value whole.json weights.format)" = NVFP4+BF16+FP8 ] ||
        [ "$(value whole.json weights.format)" = BF16+NVFP4+FP8 ]
    rm model/model.safetensors
    "$EXTRACT" --plan model -n 1 -l 8 > config.json
    [ "$(value config.json weights.known_from)" = config.json ]
    for part in attention routed_experts total; do
        [ "$(value config.json weights.bytes.$part)" = "$(value whole.json weights.bytes.$part)" ]
    done
    # One method for all but what is excluded.
    echo '{"quantization": {"quant_algo": "NVFP4", "group_size": 16,
        "exclude_modules": ["lm_head", "*.layers.1.*", "re:.*layers.2.self_attn.*"]}}' > model/hf_quant_config.json
    "$EXTRACT" --plan model -n 1 -l 8 > config.json
    # Experts of two layers: 9 x 3 matrices of 32 x 48.
    n=$((9 * 3 * 32 * 48))
    [ "$(value config.json weights.bytes.routed_experts)" = $((n * 2 + 2 * (n / 2 + n / 16 + 27 * 4))) ]
}

@test "Infinity and NaN in config.json are read as Python writes them" {
    copy qwen3_moe
    sed -i 's/"model_type"/"limits": [0.0, Infinity, -Infinity, NaN], "time_step_limit": [0.0, Infinity], "text": "Infinity \\" NaN", &/' model/config.json
    f32 model --ids model/ids.txt -o a.h5 2> messages
    grep -q "ignored, because nothing is known of them: limits, text$" messages
    sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": Infinity/' model/config.json
    run "$EXTRACT" -q model --ids model/ids.txt -o b.h5
    [ "$status" -eq 1 ]
    [ "$output" = 'ol-extract: model/config.json: key "rms_norm_eps" is Infinity, expected a finite number' ]
}

# Every matrix is one block of 128 x 128, and all its rows have one scale: the same numbers.
@test "modelopt's FP8 in blocks and per channel is read" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    from=$GOLDEN/qwen3_moe-fp8
    f32 "$from" --ids "$from/ids.txt" -o fp8.h5
    for algorithm in FP8_PB_WO FP8_PER_CHANNEL_PER_TOKEN FP8; do
        mkdir model
        PYTHONPATH=$TESTS/tools "$PYTHON" - "$from" $algorithm <<'PY'
import json, sys
import fuse_experts as f
t = f.load(sys.argv[1] + "/model.safetensors")
for name, (dtype, shape, data) in list(t.items()):
    if name.endswith(".weight_scale"):
        rows = t[name.removesuffix("_scale")][1][0]
        t[name] = {"FP8_PB_WO": (dtype, [1, 1, 1, 1], data), "FP8": (dtype, [], data),
                   "FP8_PER_CHANNEL_PER_TOKEN": (dtype, [rows], data * rows)}[sys.argv[2]]
f.save("model/model.safetensors", t)
config = json.load(open(sys.argv[1] + "/config.json"))
del config["quantization_config"]
json.dump(config, open("model/config.json", "w"))
json.dump({"quantization": {"quant_algo": sys.argv[2]}}, open("model/hf_quant_config.json", "w"))
PY
        f32 model --ids "$from/ids.txt" -o modelopt.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" fp8.h5 modelopt.h5
        rm -r model modelopt.h5
    done
}

# The same numbers under the names of other libraries.
@test "MXFP8 is read as transformers, compressed-tensors and modelopt write it" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    from=$GOLDEN/qwen3_moe-mxfp8
    f32 "$from" --ids "$from/ids.txt" -o mxfp8.h5
    for writer in e8m0 fp8 compressed-tensors modelopt; do
        echo "$writer"
        mkdir model
        PYTHONPATH=$TESTS/tools "$PYTHON" - "$from" $writer <<'PY'
import json, sys
import fuse_experts as f
writer = sys.argv[2]
t, out = f.load(sys.argv[1] + "/model.safetensors"), {}
for name, (dtype, shape, data) in t.items():
    if dtype == "U8" and writer == "e8m0":
        dtype = "F8_E8M0"
    if writer in ("compressed-tensors", "modelopt"):
        name = name.replace("_scale_inv", "_scale")
    out[name] = (dtype, shape, data)
f.save("model/model.safetensors", out)
config = json.load(open(sys.argv[1] + "/config.json"))
method = config["quantization_config"]
if writer == "fp8":
    method["quant_method"] = "fp8"
if writer == "compressed-tensors":
    config["quantization_config"] = {"quant_method": writer, "format": "mxfp8-quantized",
        "ignore": ["lm_head", "re:.*layers.1.self_attn.*"], "config_groups": {"all": {"weights": {
            "num_bits": 8, "type": "float", "strategy": "group", "group_size": 32,
            "symmetric": True, "scale_dtype": "torch.uint8"}}}}
if writer == "modelopt":
    del config["quantization_config"]
    json.dump({"quantization": {"quant_algo": "MXFP8", "group_size": 32,
        "exclude_modules": ["lm_head", "*layers.1.self_attn*"]}},
        open("model/hf_quant_config.json", "w"))
json.dump(config, open("model/config.json", "w"))
PY
        f32 model --ids "$from/ids.txt" -o other.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" mxfp8.h5 other.h5
        "$EXTRACT" --plan model -n 1 -l 8 > plan.json
        format=MXFP8
        [ $writer != fp8 ] || format=FP8
        [ "$(value plan.json weights.format)" = $format+BF16 ]
        rm -r model other.h5
    done
}

@test "bytes are exponents where config.json says so, else an error" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    copy qwen3_moe-fp8-exponents
    f32 model --ids model/ids.txt -o a.h5
    sed -i 's/"F8_E8M0"/"U8"     /g' model/model.safetensors
    f32 model --ids model/ids.txt -o b.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" a.h5 b.h5
    sed -i 's/"ue8m0"/"float"/' model/config.json
    run f32 model --ids model/ids.txt -o c.h5
    [ "$status" -eq 1 ]
    [[ $output == *".weight_scale_inv has type U8, expected BF16, F16 or F32" ]]
    sed -i 's/"float"/"ue4m3"/' model/config.json
    run f32 model --ids model/ids.txt -o c.h5
    [ "$status" -eq 1 ]
    [[ $output == *"config.json: quantised weights (quant_method \"fp8\") with scale_fmt ue4m3 are not supported" ]]
}

@test "zero points of 8 bits are taken from codes of 8 bits" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    copy qwen3_moe-int8
    f32 model --ids model/ids.txt -o a.h5
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import fuse_experts as f
t, out = f.load("model/model.safetensors"), {}
for name, (dtype, shape, data) in t.items():
    if dtype == "I8":
        zeros = [r % 7 - 3 for r in range(shape[0])]
        codes = [(b - 256 if b > 127 else b) + zeros[i // shape[1]] for i, b in enumerate(data)]
        data = bytes(c & 255 for c in codes)
        out[name + "_zero_point"] = (dtype, [shape[0], 1], bytes(z & 255 for z in zeros))
    out[name] = (dtype, shape, data)
f.save("model/model.safetensors", out)
PY
    sed -i 's/"symmetric": true/"symmetric": false/' model/config.json
    f32 model --ids model/ids.txt -o b.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" a.h5 b.h5
    sed -i 's/int-quantized/naive-quantized/' model/config.json
    f32 model --ids model/ids.txt -o c.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" a.h5 c.h5
    sed -i 's/layers.0.self_attn.k_proj.weight_zero_point/layers.0.self_attn.k_proj.weight_zero_paint/' model/model.safetensors
    run f32 model --ids model/ids.txt -o d.h5
    [ "$status" -eq 1 ]
    [[ $output == *"layers.0.self_attn.k_proj.weight is there, but model.layers.0.self_attn.k_proj.weight_zero_point, which belongs to it, is not" ]]
}

@test "of a wrapper the parts that are not run are left out by name, and no others" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    copy qwen3_5_moe
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import fuse_experts as f
t = f.load("model/model.safetensors")
t["model.audio.patch_embed.proj.bias"] = t["model.visual.patch_embed.proj.bias"]
f.save("model/model.safetensors", t)
PY
    f32 model --ids model/ids.txt -o a.h5 2> messages
    [ "$(cat messages)" = "ol-extract: model: model_type qwen3_5_moe with this config.json does not use 1 tensors that the checkpoint has for it, such as model.audio.patch_embed.proj.bias" ]
    sed -i 's/model.language_model.layers.2.linear_attn.in_proj_z/model.language_model.layers.2.linear_attn.in_proj_y/' model/model.safetensors
    run f32 model --ids model/ids.txt -o b.h5
    [ "$status" -eq 1 ]
    [[ $output == *"looked for: model.language_model.layers.2.linear_attn.in_proj_z.weight" ]]
    # The same tensors under a text model's own names.
    rm -r model
    copy qwen3_5_moe
    f32 model --ids model/ids.txt -o wrapped.h5
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import fuse_experts as f, json
t = {k.replace("model.language_model.", "model."): v for k, v in f.load("model/model.safetensors").items()}
f.save("model/model.safetensors", t)
config = json.load(open("model/config.json"))["text_config"]
json.dump(config, open("model/config.json", "w"))
PY
    f32 model --ids model/ids.txt -o alone.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" wrapped.h5 alone.h5
}

@test "experts of Qwen3-VL-MoE may lie in one tensor either way" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    copy qwen3_vl_moe
    f32 model --ids model/ids.txt -o a.h5
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import fuse_experts as f, numpy as np
t = f.load("model/model.safetensors")
for name, (dtype, (n, rows, cols), data) in [(k, v) for k, v in t.items() if ".experts." in k]:
    turned = np.frombuffer(data, np.uint16).reshape(n, rows, cols).transpose(0, 2, 1)
    t[name] = (dtype, [n, cols, rows], turned.tobytes())
f.save("model/model.safetensors", t)
PY
    f32 model --ids model/ids.txt -o b.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" a.h5 b.h5
}

@test "tensors of a layer that nothing reads are named, those that change nothing are not" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    # Biases that config.json no longer speaks of.
    copy qwen3_moe-tied
    sed -i 's/"attention_bias": true/"attention_bias": false/' model/config.json
    f32 model --ids model/ids.txt -o a.h5 2> messages
    [ "$(cat messages)" = "ol-extract: model: the layers of model_type qwen3_moe with this config.json do not use 12 tensors that the checkpoint has for them, such as model.layers.0.self_attn.k_proj.bias" ]
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
import fuse_experts as f
t = f.load("model/model.safetensors")
for name, (dtype, shape, data) in list(t.items()):
    if name.endswith(".bias"):
        t[name] = (dtype, shape, bytes(len(data)))
t["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [1], b"abcd")
t["model.layers.9.self_attn.q_proj.bias"] = ("F32", [1], b"abcd")  # of a layer it has not
f.save("model/model.safetensors", t)
PY
    f32 model --ids model/ids.txt -o b.h5 2> messages
    [ ! -s messages ]
    for name in llama4 qwen3_5 qwen3_5_moe qwen3_5_moe-fp8 qwen3_5_moe-text qwen3_vl_moe glm4v_moe hy_v3 ernie4_5_moe mistral4 gpt_oss-mxfp4 kimi_k2-fp8 qwen3_moe-modelopt qwen3_moe-gptq qwen3_next gemma4-e2b ministral3 mistral3; do
        "$EXTRACT" -q --plan "$GOLDEN/$name" -n 1 -l 8 2> messages > plan.json
        [ ! -s messages ]
    done
}

@test "that others quantise activations is said once, and stands in file, results and page" {
    cd "$BATS_TEST_TMPDIR"
    # asks NAME KEYS: of ./model, whose activations others quantise by these keys; NAME.h5
    asks() {
        "$EXTRACT" model --ids model/ids.txt --store none -o "$1.h5" 2>messages
        [ "$(grep -c "only weights are quantised here" messages)" -eq 1 ]
        grep -qF "an engine that follows $2 computes otherwise" messages
        "$ANALYZE" "$1.h5" -o "$1.json"
        [ "$(value "$1.json" model.activations_config)" = "$2" ]
        "$REPORT" "$1.json" | grep -qF "$2"
        "$REPORT" -f html "$1.json" | grep -qF "$2"
        rm -rf model
    }
    # Nothing is said where only the weights are.
    copy qwen3_moe-int4
    "$EXTRACT" model --ids model/ids.txt --store none -o plain.h5 2>messages
    not grep -q "only weights" messages
    "$ANALYZE" plain.h5 | "$PYTHON" -c 'import json, sys; assert "activations_config" not in json.load(sys.stdin)["model"]'
    sed -i 's/"quant_method"/"kv_cache_scheme": {"num_bits": 8, "type": "float"}, &/' model/config.json
    asks cache quantization_config.kv_cache_scheme
    copy qwen3_moe-int4
    "$PYTHON" - <<'PY'
import json
c = json.load(open("model/config.json"))
q = c["quantization_config"]
next(iter(q["config_groups"].values()))["input_activations"] = {"num_bits": 8, "dynamic": True}
q["kv_cache_scheme"] = None
json.dump(c, open("model/config.json", "w"))
name = next(iter(q["config_groups"]))
open("keys", "w").write(f"quantization_config.config_groups.{name}.input_activations")
PY
    asks inputs "$(cat keys)"
    copy kimi_k2-fp8
    sed -i 's/"quant_method"/"activation_scheme": "dynamic", &/' model/config.json
    asks fp8 quantization_config.activation_scheme
    copy qwen3_moe-modelopt
    asks modelopt quantization_config.quantized_layers
    copy qwen3_moe
    echo '{"quantization": {"quant_algo": null, "kv_cache_quant_algo": "FP8"}}' >model/hf_quant_config.json
    asks sole quantization.kv_cache_quant_algo
}

@test "a file of the cache that cannot be looked for is an error, and no reason to fetch" {
    cd "$BATS_TEST_TMPDIR"
    commit=$(printf 'a%.0s' {1..40})
    snapshot=hub/models--o--m/snapshots/$commit
    mkdir -p $snapshot hub/models--o--m/refs hub/models--o--m/blobs
    printf %s "$commit" >hub/models--o--m/refs/main
    cp "$DEMO/config.json" "$DEMO/model.safetensors" $snapshot
    ln -s tokenizer.json $snapshot/tokenizer.json
    HF_HUB_OFFLINE=0 HF_HUB_CACHE=$PWD/hub HF_ENDPOINT=http://127.0.0.1:1 \
        run "$EXTRACT" o/m -t "$HELDOUT" -n 1 -l 8 -o run.h5
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"tokenizer.json: cannot be looked for: Too many levels of symbolic links" ]]
}

@test "of the parts beside a text model nothing is said, of a tensor of no part something is" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    for name in kimi_k25 kimi_k25-nvfp4 deepseek_v32 deepseek_v4 deepseek_v4-fp4 glm_moe_dsa minimax_m2-fp8; do
        "$EXTRACT" "$GOLDEN/$name" --ids "$GOLDEN/$name/ids.txt" -o out.h5 2> messages
        cat messages
        not grep -q 'such as' messages
    done
    copy kimi_k25
    PYTHONPATH=$TESTS/tools "$PYTHON" - <<'PY'
from fuse_experts import load, save
tensors = load("model/model.safetensors")
tensors["language_model.model.extra.weight"] = tensors["mm_projector.proj.0.weight"]
save("model/model.safetensors", tensors)
PY
    "$EXTRACT" model --ids model/ids.txt -o out.h5 2> messages
    grep -q 'model_type kimi_k25 with this config.json does not use 1 tensors .* such as language_model.model.extra.weight' messages
}

@test "a wrapper's names may have any of its forms" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    f32 "$GOLDEN/kimi_k25" --ids "$GOLDEN/kimi_k25/ids.txt" -o one.h5
    for form in 'language_model.model. model.language_model.' 'language_model.model. language_model.'; do
        rm -rf model
        copy kimi_k25
        PYTHONPATH=$TESTS/tools "$PYTHON" - $form <<'PY'
import sys
from fuse_experts import load, save
old, new = sys.argv[1:]
tensors = {k.replace(old, new): t for k, t in load("model/model.safetensors").items()}
if new.startswith("model."):
    tensors["lm_head.weight"] = tensors.pop("language_model.lm_head.weight")
save("model/model.safetensors", tensors)
PY
        f32 model --ids model/ids.txt -o other.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" one.h5 other.h5
    done
}

@test "an indexer is read where it chooses, and a run that it is part of goes on as it was" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    model=$GOLDEN/glm_moe_dsa-chosen
    # Where no sequence has more than index_topk tokens, its tensors are not read.
    "$EXTRACT" --plan "$model" -n 1 -l 4 > four.json
    "$EXTRACT" --plan "$model" -n 1 -l 5 > five.json
    [ "$(value four.json weights.bytes.total)" -eq "$(value five.json weights.bytes.total)" ]
    indexer=$((2 * 2 * (56 * 18 + 14 * 36 + 14 + 14 + 4 * 36))) # two layers, BF16
    embedded=$((36 * 2))                                         # a row more
    [ $(($(value five.json run.bytes_read) - $(value four.json run.bytes_read))) -eq $((indexer + embedded)) ]
    # Stopped anywhere, also before a layer that takes over the choice of the one before.
    stopped_anywhere 700 40 -q "$model" --ids "$model/ids.txt" --perplexity
}
