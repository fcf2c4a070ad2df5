# Runs of models that never lie on the disk (--stream): the same bytes as from the disk, and what the
# Hub was asked for. Long: starts early.
load hub

setup_file() {
    load hub
    begin_hub
    local model
    for model in qwen3_moe qwen3_moe-gptq-sym qwen3_moe-nvfp4 qwen3_moe-int4-zeros qwen3_moe-tied \
        deepseek_v3 deepseek_v4 deepseek_v4-fp4 gpt_oss-mxfp4 qwen3_next; do
        shards "$GOLDEN/$model" "$model"
    done
    shards "$DEMO" demo
}

teardown_file() { load hub && end_hub; }
setup() {
    [ -n "$PYTHON" ] || skip "needs a python3 with h5py"
    use_hub
    unset HF_HUB_OFFLINE
}

# shards MODEL NAME: it as the repository org/NAME, in four shards.
shards() {
    "$PLAIN_PYTHON" "$HUB_TESTS/reshard.py" "$1" "$BATS_FILE_TMPDIR/root/org/$2" 4
}

# A run of the same files where they lie. mapped NAME FILE OPTIONS...
mapped() {
    local name=$1 file=$2
    shift 2
    "$EXTRACT" -q "$(from "org/$name")" -o "$file" "$@" >/dev/null
}

# same A B: but for what a model is called by, and how its weights are told from others.
same() { "$PYTHON" "$TESTS/oracle/same_run.py" "$1" "$2" model@name model@weights_sha256 model@shards_sha256; }

no_weights() {
    [ -z "$(find "$CACHE" -size +300k)" ] && ! find "$CACHE" -name '*.safetensors' | grep -q .
}

# Whatever the log has of one repository, as JSON.
log_of() { ask log_of "$1"; }

@test "a streamed run is the mapped one, to the byte, whatever the format" {
    local model
    for model in qwen3_moe qwen3_moe-gptq-sym qwen3_moe-nvfp4 qwen3_moe-int4-zeros qwen3_moe-tied \
        deepseek_v3 deepseek_v4 deepseek_v4-fp4 gpt_oss-mxfp4 qwen3_next; do
        "$EXTRACT" --stream "org/$model" --ids "$GOLDEN/$model/ids.txt" --perplexity -o streamed.h5 2>said
        grep -qE 'streamed: [0-9.]+ GB fetched by [0-9]+ requests' said
        mapped "$model" mapped.h5 --ids "$GOLDEN/$model/ids.txt" --perplexity
        same streamed.h5 mapped.h5
        [ ! -e streamed.h5.partial.weights ]
        rm streamed.h5 mapped.h5
    done
    no_weights
}

@test "each byte comes once, and of experts that no token chose none" {
    few_experts >ids
    like once demo
    "$EXTRACT" -q --stream org/once --ids ids -o streamed.h5 --threads 2 >/dev/null
    log_of org/once >log
    read -r whole unchosen < <("$PYTHON" "$TESTS/oracle/streamed.py" log "$(from org/once)" streamed.h5)
    [ "$whole" -gt 100 ]
    [ "$unchosen" -ge 24 ] # the three matrices of eight experts
    mapped demo mapped.h5 --ids ids
    same streamed.h5 mapped.h5
    # The receipt says what the log does.
    "$PYTHON" - log streamed.h5 <<'EOF'
import json, sys, h5py
log, receipt = json.load(open(sys.argv[1])), h5py.File(sys.argv[2])["receipt"].attrs
sent = sum(e["sent"] for e in log if e["at"] == "store")
assert receipt["bytes_fetched"] == sent, (receipt["bytes_fetched"], sent)
assert receipt["requests"] >= sum(e["at"] == "store" for e in log), receipt["requests"]
EOF
    # Neighbours came together: fewer requests than tensors.
    [ "$("$PLAIN_PYTHON" -c 'import json; print(sum(e["at"] == "store" for e in json.load(open("log"))))')" -lt "$whole" ]
    no_weights
}

@test "rows of the embedding: only what the tokens need, and what lies between" {
    echo 5 >ids
    like rows demo
    "$EXTRACT" -q --stream org/rows --ids ids -o streamed.h5 >/dev/null
    log_of org/rows >log
    # One row of 2048 or so.
    "$PLAIN_PYTHON" - log "$(from org/rows)" <<'EOF'
import json, os, struct, sys
from urllib.parse import parse_qs, urlsplit
for name in sorted(os.listdir(sys.argv[2])):
    if name.endswith(".safetensors"):
        with open(os.path.join(sys.argv[2], name), "rb") as file:
            n = struct.unpack("<Q", file.read(8))[0]
            t = json.loads(file.read(n)).get("model.embed_tokens.weight")
        if t:
            break
first, end = (8 + n + at for at in t["data_offsets"])
first = max(first, 100000)
came = sum(min(end, e["first"] + e["sent"]) - max(first, e["first"]) for e in json.load(open(sys.argv[1]))
           if e["at"] == "store" and parse_qs(urlsplit(e["path"]).query)["file"][0].endswith(name)
           and e["first"] < end and e["first"] + e["sent"] > first)
assert came <= 2 * t["shape"][1], (came, t)
EOF
}

# interrupted NAME: a run of org/NAME that SIGTERM ends after a layer; its messages in `said`. The
# store takes its time, so that there is one.
interrupted() {
    "$EXTRACT" --stream "org/$1" --ids ids -o run.h5 --keep-every 0 2>said >/dev/null &
    local run=$! i
    for ((i = 0; i < 1000; i++)); do
        grep -aqs 'layer 1 sha256' run.h5.partial.state && break
        sleep 0.02
    done
    kill -TERM "$run"
    ! wait "$run"
}

@test "a run that SIGTERM ended goes on, and fetches no earlier layer again" {
    few_experts >ids
    like term demo '{"pause": 0.15}'
    interrupted term
    done_=$(sed -n 's/.*stopped after layer \([0-9]*\).*/\1/p' said)
    [ "$done_" -ge 1 ]
    [ -s run.h5.partial.weights ]
    ask set org/term
    ask log >/dev/null
    "$EXTRACT" --stream org/term --ids ids -o run.h5 --keep-every 0 --resume 2>said >/dev/null
    grep -q "going on after layer $done_" said
    log_of org/term >log
    "$PYTHON" "$TESTS/oracle/streamed.py" log "$(from org/term)" run.h5 "$((done_ + 1))"
    mapped demo mapped.h5 --ids ids
    same run.h5 mapped.h5
    [ ! -e run.h5.partial.weights ]
}

@test "a run that goes on is held to the digests that it had" {
    few_experts >ids
    like held demo '{"pause": 0.15}'
    interrupted held
    ask set org/held
    # Of what was fetched ahead, one is said to have been another.
    "$PLAIN_PYTHON" - run.h5.partial.weights <<'EOF'
import sys
lines = open(sys.argv[1]).read().splitlines()
open(sys.argv[1], "w").write("".join(("f" * 63 + l[63:] if l else l) + "\n" for l in lines) + "half a li")
EOF
    status=0
    "$EXTRACT" -q --stream org/held --ids ids -o run.h5 --keep-every 0 --resume 2>said >/dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        # Nothing had been fetched ahead; then there is nothing to be held to.
        skip "the run was stopped with nothing fetched ahead"
    fi
    [ "$status" -eq 1 ]
    [ "$(wc -l <said)" -le 2 ]
    grep -qE 'model-0000.-of-00004.safetensors: the SHA-256 of the [0-9]+ bytes from [0-9]+ on is [0-9a-f]{64}, but was f{63}. before' said
}

# Whatever the line does wrong in passing.
mended() {
    like "$1" demo "$2"
    "$EXTRACT" -v --stream "org/$1" --ids ids -o "$1.h5" 2>"$1.said" >/dev/null && same "$1.h5" mapped.h5 && return 0
    echo "$1: $2"
    cat "$1.said"
    return 1
}

# refused NAME FAULTS TEXT: one line that says TEXT, and no file.
refused() {
    like "$1" demo "$2"
    local status=0
    "$EXTRACT" -q --stream "org/$1" --ids ids -o "$1.h5" 2>"$1.said" >/dev/null || status=$?
    if [ "$status" -eq 1 ] && [ "$(wc -l <"$1.said")" -eq 1 ] && grep -qE -- "$3" "$1.said" && [ ! -e "$1.h5" ] &&
        [ ! -e "$1.h5.partial" ] && [ ! -e "$1.h5.partial.weights" ]; then
        return 0
    fi
    echo "$1: $2, status $status, expected '$3':"
    cat "$1.said"
    return 1
}

@test "what passes is tried again" {
    few_experts >ids
    mapped demo mapped.h5 --ids ids
    start mended cut '{"cut": [null, 0, 1, 1000, 50000, null, 65536, 20000, 100000]}'
    start mended unavailable '{"store": [503, null, null, null, 503, 500, null, 503]}'
    start mended expired '{"ttl": 61}'
    start mended refused_once '{"store": [null, null, null, null, null, 403]}'
    start mended limited '{"hub": [null, null, null, null, [429, {"Retry-After": "1"}]]}'
    start mended shifted '{"range": [null, null, null, null, "shifted", "unsaid", null, "short"]}'
    together
}

@test "what does not pass is one line" {
    few_experts >ids
    start refused gone '{"store": [null, null, null, null, null, 404, 404, 404, 404, 404, 404, 404, 404]}' 'demo|gone.*404'
    start refused down "{\"store\": [null, null, null, null $(printf ', 503%.0s' {1..200})]}" 'times without progress: try again later; --resume'
    start refused other_size '{"range": [null, null, null, null, null, "other size"]}' 'it was changed meanwhile'
    start refused ignored '{"range": [null, null, null, null, null, "ignored"]}' 'everything came: it cannot be streamed'
    start refused grown '{"grown": 1}' 'it was changed meanwhile'
    start refused shut '{"token": "hf_x"}' 'HF_TOKEN|hf auth login'
    together
}

@test "the token goes to the Hub alone" {
    few_experts >ids
    like token demo '{"token": "hf_secret"}'
    ask log >/dev/null
    HF_TOKEN=hf_secret "$EXTRACT" -v --stream org/token --ids ids -o run.h5 2>said >/dev/null
    not grep -rq hf_secret said run.h5 "$CACHE"
    log_of org/token >log
    "$PLAIN_PYTHON" - log <<'EOF'
import json, sys
log = json.load(open(sys.argv[1]))
assert {e["at"] for e in log if e["token"]} == {"hub"} and any(e["at"] == "store" for e in log)
EOF
}

@test "a budget is kept, and one that is too small says what would do" {
    few_experts >ids
    mapped demo mapped.h5 --ids ids
    like memory demo
    status=0
    "$EXTRACT" -q --stream org/memory --ids ids -o run.h5 --memory 8M 2>said >/dev/null || status=$?
    [ "$status" -eq 1 ]
    least=$(sed -n 's/.*it needs at least \([0-9]*M\)$/\1/p' said)
    "$EXTRACT" -q --stream org/memory --ids ids -o run.h5 --memory "$least" >/dev/null
    same run.h5 mapped.h5
    # A plan knows it before anything is fetched.
    "$EXTRACT" -q --plan org/memory -n 1 -l "$(wc -w <ids)" >plan
    planned=$("$PLAIN_PYTHON" -c 'import json; print(json.load(open("plan"))["memory"]["least_ram_bytes_streamed"] >> 20)')
    [ "$planned" -ge "${least%M}" ]
    [ "$planned" -le $((${least%M} + 32)) ]
}

@test "shards that are in the cache are read there" {
    few_experts >ids
    mapped demo mapped.h5 --ids ids
    like partly demo
    fetch org/partly
    local here shard
    here=$(snapshot org/partly)
    # All of them: the store is not asked.
    ask log >/dev/null
    "$EXTRACT" -q --stream org/partly --ids ids -o all.h5 >/dev/null
    [ "$(ask sent org/partly)" = 0 ]
    same all.h5 mapped.h5
    for shard in "$here"/model-0000[13]-*; do rm "$(readlink -f "$shard")" "$shard"; done
    "$EXTRACT" -q --stream org/partly --ids ids -o run.h5 >/dev/null
    same run.h5 mapped.h5
    [ "$(ask log | grep -c '^store .*model-0000[13]')" -gt 2 ]
    [ ! -e "$here"/model-00001-of-00004.safetensors ]
}

@test "a device is fed from what is streamed" {
    SIM=$TOOLS/tests/ol-extract-sim
    [ -x "$SIM" ] || skip "no simulated device"
    sanitized && skip "a matter of minutes under sanitizers"
    local model
    for model in qwen3_moe qwen3_moe-nvfp4; do
        "$SIM" -q --stream "org/$model" --backend cuda --ids "$GOLDEN/$model/ids.txt" --perplexity -o streamed.h5 >/dev/null
        "$SIM" -q "$(from "org/$model")" --backend cuda --ids "$GOLDEN/$model/ids.txt" --perplexity -o mapped.h5 >/dev/null
        same streamed.h5 mapped.h5
        rm streamed.h5 mapped.h5
    done
}

# says MODEL OPTIONS...: the exit status and the messages of a run, but for where its files are.
says() {
    local status=0
    "$EXTRACT" -q "$@" --ids ids -o said.h5 2>messages >/dev/null || status=$?
    echo "$status $(sed -E 's,/[^ ]*/(root/org/[a-z]*|snapshots/[0-9a-f]{40}),,g' messages)"
    rm -f said.h5*
}

@test "what a run from the disk finds in weights a streamed one finds" {
    echo 1 2 3 4 5 6 7 8 >ids
    local shape=model.layers.0.mlp.experts.0.up_proj.weight_shape model=$GOLDEN/qwen3_moe-int4
    "$PLAIN_PYTHON" "$HUB_TESTS/reshard.py" "$model" "$(from org/shape)" 2 "$shape=$(printf '%016d' 7 7)"
    says "$(from org/shape)" >mapped
    says --stream org/shape >streamed
    diff mapped streamed
    grep -q "^1 .*model-0000.-of-00002.safetensors: tensor $shape says \[.*, expected \[.* from config.json" mapped
    # Biases that config.json does not speak of.
    "$PLAIN_PYTHON" "$HUB_TESTS/reshard.py" "$GOLDEN/qwen3_moe-tied" "$(from org/biased)" 2
    sed -i 's/"attention_bias": true/"attention_bias": false/' "$(from org/biased)/config.json"
    says "$(from org/biased)" >mapped
    says --stream org/biased >streamed
    diff mapped streamed
    grep -q '^0 .*do not use 12 tensors' mapped
    # Of zeros nothing is said.
    PYTHONPATH=$TESTS/tools "$PYTHON" - "$GOLDEN/qwen3_moe-tied/model.safetensors" >zeros <<'EOF'
import sys, fuse_experts as f
for name, (_, _, data) in f.load(sys.argv[1]).items():
    if name.endswith(".bias"):
        print(f"{name}={'00' * len(data)}")
EOF
    mapfile -t biases <zeros
    "$PLAIN_PYTHON" "$HUB_TESTS/reshard.py" "$GOLDEN/qwen3_moe-tied" "$(from org/zeros)" 2 "${biases[@]}"
    cp "$(from org/biased)/config.json" "$(from org/zeros)"
    [ "$(says --stream org/zeros)" = "0 " ]
}

@test "parts that were streamed and parts from the cache are one run" {
    { few_experts && few_experts; } >ids
    like join demo
    "$EXTRACT" -q --stream org/join --ids ids --part 1/2 -o streamed.h5 >/dev/null
    fetch org/join
    "$EXTRACT" -q org/join --ids ids --part 1/2 -o mapped.h5 >/dev/null
    "$EXTRACT" -q org/join --ids ids --part 2/2 -o mapped.h5 >/dev/null
    "$ANALYZE" -q streamed.part-1-of-2.h5 mapped.part-2-of-2.h5 >mixed.json
    "$ANALYZE" -q mapped.part-1-of-2.h5 mapped.part-2-of-2.h5 >mapped.json
    "$PLAIN_PYTHON" - <<'EOF'
import json
mixed, mapped = (json.load(open(name)) for name in ("mixed.json", "mapped.json"))
assert mixed["model"]["shards_sha256"] == mapped["model"]["shards_sha256"] == mixed["model"]["weights_sha256"]
for r in mixed, mapped:
    del r["run"], r["command_line"], r["model"]["weights_sha256"]
assert mixed == mapped
EOF
    # Elsewhere nobody says what digest the shards have.
    mapped join copied.h5 --ids ids --part 2/2
    not "$ANALYZE" -q streamed.part-1-of-2.h5 copied.part-2-of-2.h5 2>said
    grep -q 'are no parts of one run: weights_sha256 differs' said
    # Of two files from the disk the bytes decide.
    "$PYTHON" - mapped.part-1-of-2.h5 <<'EOF'
import sys, h5py
with h5py.File(sys.argv[1], "a") as f:
    f["model"].attrs["weights_sha256"] = "0" * 64
EOF
    not "$ANALYZE" -q mapped.part-1-of-2.h5 mapped.part-2-of-2.h5 2>said
    grep -q 'are no parts of one run: weights_sha256 differs' said
}

@test "what cannot be streamed is said" {
    few_experts >ids
    one() {
        local status=0
        "$@" -q --ids ids -o run.h5 2>said >/dev/null || status=$?
        cat said
        [ "$status" -eq 1 ] && [ "$(wc -l <said)" -eq 1 ]
    }
    HF_HUB_OFFLINE=1 one "$EXTRACT" --stream org/demo
    grep -q 'HF_HUB_OFFLINE' said
    # What is here is read here, and that is said.
    "$EXTRACT" --stream "$DEMO" --ids ids -o here.h5 2>said >/dev/null
    grep -q 'is here: nothing of it is streamed' said
    "$EXTRACT" -q "$DEMO" --ids ids -o mapped.h5 >/dev/null
    "$PYTHON" "$TESTS/oracle/same_run.py" here.h5 mapped.h5
    not "$EXTRACT" --stream --plan org/demo 2>said
    grep -q -e '--stream is of a run: --plan does not go with it' said
}
