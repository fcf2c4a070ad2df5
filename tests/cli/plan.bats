load common

# One value of a JSON file.
value() { "$PYTHON" -c 'import json, sys
x = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    x = x[int(key)] if key.isdigit() else x[key]
print(x)' "$1" "$2"; }

@test "every survey model has the published number of parameters, and is of about the published size" {
    cd "$BATS_TEST_TMPDIR"
    "$PYTHON" - "$EXTRACT" "$ROOT"/data/models/*.json <<'EOF'
import json, subprocess, sys
sizes = 0
for path in sys.argv[2:]:
    # For a device that is not here: then nothing of this machine's speed is measured.
    plan = json.loads(subprocess.run([sys.argv[1], "-q", "--plan", "--device-model", "h200", "-l", "1024", path],
                                     check=True, capture_output=True).stdout)
    file, model = json.load(open(path)), plan["model"]
    assert model["total_parameters"] == file["total_parameters"], path
    assert model["name"] == file["name"], path
    said = file.get("published_parameters")
    if said is None:
        continue
    sizes += 1
    total, active = model["total_parameters"] / 1e9, model["active_parameters"] / 1e9
    # In whole billions, at times rounded down.
    assert abs(total - said["total_billions"]) <= max(1, 0.02 * said["total_billions"]), (path, total, said)
    # With or without the embedding and the head.
    text = file["config"].get("text_config", file["config"])
    table = text["vocab_size"] * text["hidden_size"] / 1e9
    inputs = (text.get("hidden_size_per_layer_input") or 0) * text.get("num_hidden_layers", 0) / 1e9
    low, high = active - 2 * table - inputs * text["vocab_size"], active
    assert low - 0.5 <= said["active_billions"] <= high + 0.5, (path, low, high, said)
assert len(sys.argv) > 20 and sizes >= 5
EOF
}

@test "the structure of layers is what the families say" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" --plan "$ROOT/data/models/qwen3-next-80b-a3b.json" > plan.json
    [ "$(value plan.json layers.2.attention)" = linear ]
    [ "$(value plan.json layers.3.attention)" = full ]
    [ "$(value plan.json layers.47.n_experts)" = 512 ]
    "$EXTRACT" --plan "$ROOT/data/models/llama-4-maverick-17b-128e.json" > plan.json
    [ "$(value plan.json layers.0.kind)" = dense ]
    [ "$(value plan.json layers.1.kind)" = moe ]
    [ "$(value plan.json layers.2.attention)" = chunked ]
    [ "$(value plan.json layers.3.attention)" = full ]
    "$EXTRACT" --plan "$ROOT/data/models/gpt-oss-20b.json" > plan.json
    [ "$(value plan.json layers.0.window)" = 128 ]
    [ "$(value plan.json layers.1.attention)" = full ]
    "$EXTRACT" --plan "$ROOT/data/models/qwen3.6-35b-a3b.json" > plan.json
    [ "$(value plan.json layers.38.attention)" = linear ]
    [ "$(value plan.json layers.39.attention)" = full ]
    "$EXTRACT" --plan "$ROOT/data/models/deepseek-r1.json" > plan.json
    [ "$(value plan.json layers.2.kind)" = dense ]
    [ "$(value plan.json layers.3.kind)" = moe ]
    # FP8 codes, a float per 128 x 128 of them, and what is not quantised: 256 experts of three
    # 2048 x 7168 matrices in 58 layers.
    [ "$(value plan.json weights.bytes.routed_experts)" = $((58 * 256 * 3 * (2048 * 7168 + 4 * 16 * 56))) ]
    [ "$(value plan.json weights.bytes.embedding)" = $((129280 * 7168 * 2)) ]
}

@test "with a checkpoint the plan is of its bytes, and a run reads what was planned" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" --plan "$DEMO" -n 16 -l 512 --perplexity > plan.json
    [ "$(value plan.json weights.known_from)" = checkpoint ]
    header=$(od -An -tu8 -N8 "$DEMO/model.safetensors")
    size=$(stat -c %s "$DEMO/model.safetensors")
    [ "$(value plan.json weights.bytes.total)" = $((size - header - 8)) ]
    "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 16 -l 512 --perplexity -o run.h5
    peak=$(h5dump -a /peak_memory run.h5 | sed -n 's/ *(0): //p')
    sanitized || [ "$peak" -le "$(value plan.json memory.ram_bytes)" ]
}

# Of the file that stays, and of the most that is needed while the run goes on (extract.bats
# gives it that much of a disk, and less).
@test "the file that is planned is the file that is written" {
    cd "$BATS_TEST_TMPDIR"
    for options in "-n 2 -l 32" "-n 2 -l 64 --store none" "-n 2 -l 64 --no-summaries" \
        "-n 1 -l 8 --no-summaries" "-n 200 -l 8 --store f32" "-n 8 -l 64 --perplexity --imatrix" \
        "-n 2 -l 64 --ablate zero:1 --ablate first" "-n 8 -l 32 --part 2/4" \
        "-n 3 -l 100 --sites residual_attn,ln_mlp --layers 1,3"; do
        "$EXTRACT" --plan "$DEMO" $options > plan.json
        file=$("$EXTRACT" -q "$DEMO" -t "$HELDOUT" $options)
        written=$(stat -c %s "$file") planned=$(value plan.json run.file_bytes)
        echo "$options: $written of $planned"
        [ "$written" -le "$planned" ]
        [ "$written" -ge $((planned * 95 / 100)) ]
        [ "$planned" -lt "$(value plan.json run.disk_bytes)" ]
        rm "$file"
    done
    { seq -s ' ' 12; seq -s ' ' 21 32; } > ids.txt
    for model in deepseek_v4 nemotron_h gpt2 llama4; do
        "$EXTRACT" --plan "$GOLDEN/$model" -n 2 -l 12 > plan.json
        "$EXTRACT" -q "$GOLDEN/$model" --ids ids.txt -o run.h5
        written=$(stat -c %s run.h5) planned=$(value plan.json run.file_bytes)
        echo "$model: $written of $planned"
        [ "$written" -le "$planned" ]
        [ "$written" -ge $((planned * 95 / 100)) ]
    done
}

# Models whose config.json says of every module how it is stored.
@test "from config.json alone quantised weights are as many bytes as in the checkpoint" {
    cd "$BATS_TEST_TMPDIR"
    for model in gpt_oss-mxfp4 llama4-fp8 qwen3_moe-awq qwen3_moe-fp8 qwen3_moe-gptq \
        qwen3_moe-gptq2 qwen3_moe-gptq8 qwen3_moe-gptq8-sym qwen3_moe-int8 qwen3_moe-int8-packed \
        qwen3_moe-mxfp4-packed qwen3_moe-mxfp8 qwen3_moe-nvfp4; do
        echo "$model"
        "$EXTRACT" --plan "$GOLDEN/$model" -n 1 -l 8 > whole.json
        "$EXTRACT" --plan "$GOLDEN/$model/config.json" -n 1 -l 8 > config.json
        [ "$(value config.json weights.known_from)" = config.json ]
        [ "$(value whole.json weights.bytes)" = "$(value config.json weights.bytes)" ]
    done
}

@test "a plan that cannot be made says why" {
    cd "$BATS_TEST_TMPDIR"
    run "$EXTRACT" --plan --memory 100M "$ROOT/data/models/deepseek-r1.json"
    [ "$status" -eq 1 ]
    [[ $output == *"--memory of 100 MiB cannot hold this run of 32768 tokens: it needs at least "*M ]]
    echo '{"model_type": "unheard_of"}' > config.json
    run "$EXTRACT" --plan config.json
    [ "$status" -eq 1 ]
    [[ $output == *'config.json: model_type "unheard_of" is not supported; known: deepseek_v2, '* ]]
    run "$EXTRACT" --plan --tokenize "$DEMO"
    [ "$status" -eq 2 ]
}

# What transformers writes into a config without sliding windows.
@test "a sliding window of 0 is fine where none is used" {
    cd "$BATS_TEST_TMPDIR"
    for model in qwen1.5-moe-a2.7b qwen3-30b-a3b qwen3-0.6b; do
        for used in false true; do
            sed "s/\"model_type\"/\"sliding_window\": 0, \"use_sliding_window\": $used, &/" \
                "$ROOT/data/models/$model.json" > $used.json
        done
        "$EXTRACT" --plan false.json -n 1 -l 64 > /dev/null
        run "$EXTRACT" --plan true.json -n 1 -l 64
        [ "$status" -eq 1 ]
        [[ $output == *'"sliding_window" is 0, expected 1 to '* ]]
    done
}

@test "of a device that is not here: what it would hold, and what bounds each layer" {
    cd "$BATS_TEST_TMPDIR"
    model=$ROOT/data/models/qwen3-30b-a3b.json
    "$EXTRACT" --plan --device-model memory=24G,link=25G,bandwidth=1T,bf16=165T,f32=80T "$model" >numbers.json
    "$EXTRACT" --plan --device-model memory=24G,link=25G,bandwidth=1T,bf16=165T,f32=80T --devices 0,1 "$model" >two.json
    "$EXTRACT" --plan --device-model memory=24G,link=25G,peer=300G,bandwidth=1T,bf16=165T,f32=80T --devices 0,1,2,3 "$model" >four.json
    "$EXTRACT" --plan --device-model rtx4090,link=1T "$model" >fast.json
    "$EXTRACT" --plan --device-model h200 "$model" >whole.json
    "$EXTRACT" --plan --device-model h200 --memory 4G "$model" >budget.json
    # Of a machine that is not here, whose memory is not this one's.
    "$EXTRACT" --plan --device-model memory=9000G -n 65536 -l 2048 "$model" >large.json
    [ "$(value large.json memory.ram_bytes)" -gt 800000000000 ]
    "$EXTRACT" --plan --device-model h200 --precision f32 --layers 3 --sites ln_mlp "$model" >one.json
    "$PYTHON" - <<'P'
import json, math
def near(a, b): assert math.isclose(a, b, rel_tol=1e-12), (a, b)
numbers, two, four, fast, one, whole, budget = (
    json.load(open(name + ".json")) for name in ("numbers", "two", "four", "fast", "one", "whole", "budget"))
# By the published shape: attention of 32 heads and 4 of keys, 128 experts of three 768 x 2048
# matrices of which 8 are chosen, 16 x 2048 tokens.
d, tokens = 2048, 16 * 2048
attention = d * (4096 + 2 * 512) + 4096 * d
weights = 2 * (attention + 128 * 3 * 768 * d + 128 * d + 2 * d + 2 * 128)
pairs = 16 * 2048 * 2049 / 2
flops = 2 * tokens * (attention + 128 * d + 8 * 3 * 768 * d) + 2 * 2 * 4096 * pairs
passing = 2 * weights + 2 * tokens * (
    (d + 4096) + 2 * (d + 512) + (4096 + d) + (d + 128) + 8 * 3 * (768 + d))
for layer in numbers["layers"][:-1]:
    near(layer["link_seconds"], weights / 25e9)
    near(layer["compute_seconds"], flops / 165e12)
    near(layer["memory_seconds"], passing / 1e12)
    assert layer["bound"] == "link" and layer["floor_seconds"] == layer["link_seconds"]
near(numbers["time"]["compute_seconds"], numbers["run"]["flops"] / 165e12)
near(numbers["time"]["link_seconds"], numbers["run"]["bytes_read"] / 25e9)
near(numbers["time"]["floor_seconds"], numbers["time"]["link_seconds"])
# Sequences are split, weights are not.
near(two["time"]["compute_seconds"], numbers["time"]["compute_seconds"] / 2)
assert two["time"]["link_seconds"] == numbers["time"]["link_seconds"]
assert two["sharing"] == {"devices": 2, "links_of_each_weight": 2, "because": "custom has no links to other devices"}
assert "sharing" not in numbers and "peer_seconds" not in two["time"] and two["time"]["link_bytes"] == two["run"]["bytes_read"]
# But where devices reach each other: then each weight passes one link, and comes to the others from there.
assert four["sharing"]["links_of_each_weight"] == 1
assert four["sharing"]["because"] == "of custom, from other devices 300 GB/s, from the host 25 GB/s"
for layer in four["layers"][:-1]:
    near(layer["link_bytes"], weights / 4)
    near(layer["peer_bytes"], weights * 3 / 4)
    near(layer["link_seconds"], weights / 4 / 25e9)
    near(layer["peer_seconds"], weights * 3 / 4 / 300e9)
assert four["time"]["link_bytes"] + four["time"]["peer_bytes"] == four["run"]["bytes_read"]
assert whole["device"]["peer_bytes_per_second"] == 450e9 and fast["device"]["peer_bytes_per_second"] is None
assert two["memory"]["device_bytes"] < numbers["memory"]["device_bytes"]
assert fast["device"]["name"] == "rtx4090" and {l["bound"] for l in fast["layers"]} == {"compute"}, fast
# The ring that weights arrive in is a sixteenth of the budget, of 4 to 16 tiles of 64 MiB.
saved = whole["memory"]["least_device_bytes"] - budget["memory"]["least_device_bytes"]
assert 752 << 20 <= saved <= 784 << 20, saved
# What is behind the layer that is recorded is not read, and has no bound; floats have their rate.
assert ["bound" in l for l in one["layers"]] == [True] * 4 + [False] * 44
near(one["time"]["compute_seconds"], one["run"]["flops"] / 67e12)
P
    not "$EXTRACT" --plan --device-model memory=1G "$model" 2>err
    grep -qE '^ol-extract: free device memory of [0-9]+ MiB cannot hold this run of 32768 tokens: it needs at least [0-9]+M$' err
    while IFS='|' read -r options message; do
        # shellcheck disable=SC2086 # The options are several words.
        run "$EXTRACT" $options "$model"
        echo "$options: $output"
        [ "$status" -eq 2 ]
        [[ $output == *"$message"* ]]
    done <<'O'
--device-model h200 -t none|--device-model is of --plan
--plan --device-model h200 --backend cpu|--device-model is a CUDA device
--plan --device-model t4|'t4' is neither one of b200, h200, h100, a100,
--plan --device-model h200,link=fast|'link=fast' is neither
--plan --device-model link=25G,h200|'h200' is neither
--plan --device-model link=25G|memory= is missing
O
}

@test "sequences are as long as usual, or as the model has positions" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" --plan "$ROOT/data/models/gpt2.json" >plan.json 2>messages
    [ "$(value plan.json run.length)" = 1024 ]
    grep -qx 'ol-extract: sequences of 1024 tokens, not 2048: the model has embeddings for no more positions' messages
    [ "$(wc -l <messages)" -eq 1 ]
    run "$EXTRACT" --plan -l 2048 "$ROOT/data/models/gpt2.json"
    [ "$status" -eq 1 ]
    [[ $output == *"give -l 1024 or less" ]]
    # What is known of a directory without weights.
    mkdir model
    cp "$DEMO"/tokenizer* model
    cp "$GOLDEN/gpt2/config.json" model
    "$EXTRACT" --tokenize -t "$HELDOUT" -n 3 model >ids.txt 2>messages
    [ "$(awk '{ print NF }' ids.txt | sort -u)" = 32 ]
    [ "$(wc -l <ids.txt)" -eq 3 ]
    grep -q 'sequences of 32 tokens, not 2048' messages
    "$EXTRACT" --tokenize -t "$HELDOUT" -n 3 -l 40 model >ids.txt
    [ "$(awk '{ print NF }' ids.txt | sort -u)" = 40 ]
}
