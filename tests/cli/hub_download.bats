# From a name at the Hub to files in its local cache.
load hub

setup_file() {
    load hub
    begin_hub
    repository org/one --single 9000000
    repository org/three 5000000 3000000 7000001
    repository org/gated --single 1000000
    mkdir -p "$BATS_FILE_TMPDIR/root/org"
    cp -r "$DEMO" "$BATS_FILE_TMPDIR/root/org/demo"
    repository org/kimi --single 1000000
    rm "$BATS_FILE_TMPDIR/root/org/kimi/tokenizer.json"
    cp "$TESTS"/golden/tokenizers/kimi-k2/* "$BATS_FILE_TMPDIR/root/org/kimi"
    mkdir "$BATS_FILE_TMPDIR/root/org/pickled"
    echo '{}' >"$BATS_FILE_TMPDIR/root/org/pickled/config.json"
    echo x >"$BATS_FILE_TMPDIR/root/org/pickled/pytorch_model.bin"
}

teardown_file() { load hub && end_hub; }
setup() { use_hub; }
teardown() { end_others; }

@test "a model is fetched, what a run needs of it, and laid out as the Hub's clients do" {
    fetch org/three
    good org/three
    cd "$CACHE/models--org--three"
    commit=$(basename snapshots/*)
    [ "$(cat "$BATS_TEST_TMPDIR/directory")" = "$PWD/snapshots/$commit" ]
    [ "$(cat refs/main)" = "$commit" ]
    [ "$(wc -c <refs/main)" -eq 40 ]
    [ "$(readlink "snapshots/$commit/config.json")" = "../../blobs/$(git_sha1 "$(from org/three)/config.json")" ]
    shard='model-00003-of-00003.safetensors'
    [ "$(readlink "snapshots/$commit/$shard")" = "../../blobs/$(sha256sum <"$(from org/three)/$shard" | cut -d' ' -f1)" ]
    [ "$(ls "snapshots/$commit" | tr '\n' ' ')" = "config.json model-00001-of-00003.safetensors \
model-00002-of-00003.safetensors model-00003-of-00003.safetensors model.safetensors.index.json tokenizer.json tokenizer_config.json " ]
    [ "$(find ../.locks/models--org--three -name '*.lock' -size 0 | wc -l)" -eq "$(find blobs -type f | wc -l)" ]
    head -n 1 ../CACHEDIR.TAG | grep -qx 'Signature: 8a477f597d28d172789f06886806bc55'
    [ "$(stat -c %a blobs/*)" = "$(touch x && yes "$(stat -c %a x)" | head -n "$(find blobs -type f | wc -l)")" ]
    ask once org/three "$(from org/three)"
}

@test "a tokenizer that is no tokenizer.json is fetched with the Python that has its pattern" {
    fetch org/kimi
    [ "$(ls "$(snapshot org/kimi)" | tr '\n' ' ')" = \
        "cases.json config.json model.safetensors tiktoken.model tokenization_kimi.py tokenizer_config.json " ]
    # That is enough for a text, which asks no more, and offline.
    ask log >/dev/null
    echo 'Hello' >text
    HF_HUB_OFFLINE=1 "$EXTRACT" --tokenize -t text org/kimi >ids
    "$EXTRACT" --tokenize -t text org/kimi | cmp - ids
    "$EXTRACT" --tokenize -t text "$(from org/kimi)" | cmp - ids
    [ -z "$(ask log)" ]
}

# As git names a file.
git_sha1() {
    "$PLAIN_PYTHON" -c 'import hashlib, sys; d = open(sys.argv[1], "rb").read(); print(hashlib.sha1(b"blob %d\0" % len(d) + d).hexdigest())' "$1"
}

@test "what is there is not asked for again, and offline nothing is" {
    fetch org/one
    grep -qE 'downloading 9.1 MB, 4 files, to ' said
    grep -qE ' downloaded in .* requests' said
    ask log >/dev/null
    fetch org/one
    [ ! -s said ]
    [ "$(ask log | cut -d' ' -f1-3)" = "hub 200 -" ]
    export HF_HUB_OFFLINE=1
    fetch org/one
    refuses org/three 'no such model in the Hub cache'
    grep -q 'HF_HUB_OFFLINE forbids' said
    [ -z "$(ask log)" ]
    unset HF_HUB_OFFLINE
    # A part of it alone is fetched where that is missing.
    rm "$(readlink -f "$(snapshot org/one)/tokenizer.json")"
    fetch org/one
    grep -q ', 1 file, ' said
    good org/one
}

@test "a run fetches its model, and the next one needs no network" {
    head -c 20000 "$HELDOUT" >text.txt
    HF_HUB_OFFLINE=1 refuses_run 'no such model in the Hub cache'
    "$EXTRACT" org/demo -t text.txt -n 1 -l 64 -o first.h5 2>said
    grep -q 'org/demo: downloading' said
    "$EXTRACT" -q "$DEMO" -t text.txt -n 1 -l 64 -o local.h5
    HF_HUB_OFFLINE=1 "$EXTRACT" -q org/demo -t text.txt -n 1 -l 64 -o second.h5
    same_run first.h5 second.h5
    ask log >/dev/null
    "$EXTRACT" -q org/demo -t text.txt -n 1 -l 64 -o third.h5
    [ -z "$(ask log)" ]
}

refuses_run() {
    run "$EXTRACT" org/demo -t text.txt -n 1 -l 64 -o none.h5
    [ "$status" -eq 1 ] && [[ $output == *"$1"* ]] && [ ! -e none.h5 ]
}

@test "ids need no tokenizer, and --tokenize no weights" {
    head -c 2000 "$HELDOUT" >text.txt
    "$EXTRACT" --tokenize -t text.txt org/demo >ids.txt
    [ ! -e "$(snapshot org/demo)/model.safetensors" ]
    "$EXTRACT" --tokenize -t text.txt "$DEMO" | cmp - ids.txt
    "$EXTRACT" -q org/demo --ids ids.txt -o x.h5
    [ -e "$(snapshot org/demo)/model.safetensors" ]
}

@test "revisions: a tag, a pull request, a commit; an unknown one" {
    fetch org/one@v1.0
    commit=$(basename "$(snapshot org/one)")
    [ "$(cat "$CACHE/models--org--one/refs/v1.0")" = "$commit" ]
    [ ! -e "$CACHE/models--org--one/refs/main" ]
    fetch org/one@refs/pr/1
    [ "$(cat "$CACHE/models--org--one/refs/refs/pr/1")" = "$commit" ]
    rm -r "$CACHE"
    fetch "org/one@$commit"
    [ ! -e "$CACHE/models--org--one/refs" ]
    HF_HUB_OFFLINE=1 fetch "org/one@$commit"
    refuses org/one@v2 "org/one: has no revision 'v2'"
    ask log | grep -q revision/refs%2Fpr%2F1
}

@test "the token goes to the Hub and to nobody else" {
    ask set org/gated '{"gated": true, "token": "hf_good"}'
    ask log >/dev/null
    refuses org/gated "open $HF_ENDPOINT/org/gated, accept them, and set HF_TOKEN"
    HF_TOKEN=hf_other refuses org/gated 'the account of the token (from HF_TOKEN) has no access'
    HF_TOKEN=' hf_good ' fetch org/gated
    [ "$(ask tokens)" = hub ]
    # From its file, in both places, and not at all.
    rm -r "$CACHE"
    echo hf_good >"$HF_HOME/token"
    fetch org/gated
    rm -r "$CACHE"
    mv "$HF_HOME/token" token
    HF_TOKEN_PATH=$PWD/token fetch org/gated
    rm -r "$CACHE"
    ask log >/dev/null
    HF_TOKEN_PATH=$PWD/token HF_HUB_DISABLE_IMPLICIT_TOKEN=1 refuses org/gated 'terms must be accepted'
    [ -z "$(ask tokens)" ]
    ask set org/gated '{"token": "hf_good"}'
    refuses org/gated 'no such model, or a private one: set HF_TOKEN'
    HF_TOKEN=hf_other refuses org/gated 'a private one that the token (from HF_TOKEN) does not open'
    HF_TOKEN=hf_unknown refuses org/gated 'the Hub does not know the token (from HF_TOKEN)'
    not grep -rq hf_unknown said "$HF_HOME"
    HF_TOKEN='two words' refuses org/gated 'holds no token'
    not grep -q words said
}

@test "a store elsewhere never sees the token, whatever its address looks like" {
    for place in "http://127.0.0.1:$STORE/x" "http://localhost:$HUB/org/one/resolve/x" \
        "http://127.0.0.1:$HUB@127.0.0.1:$STORE/x?Signature=secret"; do
        ask set org/one "{\"redirect\": \"$place\"}"
        ask log >/dev/null
        HF_TOKEN=hf_good HF_HUB_CACHE=$PWD/other refuses org/one 'org/one'
        not grep -q secret said
        ask log_tokens | sort -u >sent
        not grep -v '^hub 127.0.0.1' sent
    done
    ask set org/one
}

@test "a repository without safetensors, and none" {
    refuses org/pickled 'but pytorch_model.bin: only these can be read'
    refuses org/absent "no such model, or a private one"
    not ls -d "$CACHE"/models--org--absent
}

@test "IPv6, and a proxy" {
    ask log >/dev/null
    http_proxy=http://127.0.0.1:$PROXY fetch org/one
    good org/one
    ask log >asked
    [ "$(grep -c '^proxy' asked)" -eq "$(grep -vc '^proxy' asked)" ]
    http_proxy=http://127.0.0.1:$PROXY no_proxy=127.0.0.1 HF_HUB_CACHE=$PWD/other fetch org/one
    not grep -q '^proxy' <(ask log)
    "$PLAIN_PYTHON" -c 'import socket; socket.socket(socket.AF_INET6).bind(("::1", 0))' 2>/dev/null ||
        skip 'there is no IPv6 here'
    another_hub ::1
    HF_ENDPOINT="http://[::1]:$ANOTHER" HF_HUB_CACHE=$PWD/six fetch org/one
    good org/one "$PWD/six"
}

@test "https: only with a certificate that is known, and never on to http" {
    command -v openssl >/dev/null || skip 'there is no openssl'
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hub \
        -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null
    another_hub 127.0.0.1 cert.pem key.pem
    HUB=$ANOTHER
    export HF_ENDPOINT=https://127.0.0.1:$HUB
    refuses org/one 'SSL_CERT_FILE names others'
    for name in SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE; do
        env "$name=$PWD/cert.pem" HF_HUB_CACHE="$PWD/$name" "$EXTRACT" -q --download org/one
        good org/one "$PWD/$name"
    done
    SSL_CERT_FILE=$PWD/none refuses org/one "$PWD/none"
    export SSL_CERT_FILE=$PWD/cert.pem
    ask set org/one "{\"redirect\": \"http://127.0.0.1:$STORE/x?Signature=secret\"}"
    refuses org/one 'redirects from https to http, which is not followed'
    not grep -q secret said
}

@test "the progress line on a terminal, as wide as that is" {
    ask set org/one '{"pause": 0.8}'
    for columns in 100 30; do
        rm -rf "$CACHE"
        "$PLAIN_PYTHON" "$TESTS/tools/terminal.py" $columns "$EXTRACT" --download org/one >lines
        cat lines
        if [ "$columns" -eq 100 ]; then
            grep -qE '^ol-extract:  [0-9.]+ kB of 9.1 MB  [0-9.]+ GB/s  [0-9]+:[0-9]{2} left$' lines
        fi
        not grep -qE ".{$columns}" lines
    done
    ask set org/one
}

@test "make run: from a name to a report in one line, and offline again" {
    head -c 20000 "$HELDOUT" >text.txt
    export BUILD=$TOOLS MODEL=org/demo@refs/pr/1 TEXT=$PWD/text.txt N=1 L=64 FORMAT=markdown OUT='' REPORT='' \
        EXTRACT_OPTIONS='--threshold 3' ANALYZE_OPTIONS='--threshold 3'
    sh "$ROOT/common/run.sh" >report.md 2>said
    cat said
    # How much, and where to, before it begins.
    [[ $(sed -n 2p said) == "ol-extract: org/demo: downloading 6.6 MB, 6 files, to $CACHE/models--org--demo" ]]
    [ -e runs/demo@refs-pr-1.h5 ]
    HF_HUB_OFFLINE=1 sh "$ROOT/common/run.sh" >again.md 2>said
    cmp report.md again.md
    not grep -q downloading said
}

# same_plan FAR NEAR: but for where the weights are and what was measured.
same_plan() {
    "$PLAIN_PYTHON" - "$@" <<'END'
import json, sys
far, near = (json.load(open(path)) for path in sys.argv[1:])
download = far.pop("download")
assert (far["weights"].pop("known_from"), near["weights"].pop("known_from")) == ("headers", "checkpoint")
for plan in far, near:
    plan.pop("time")
    plan.pop("memory")  # with what this process happened to hold
    plan["model"].pop("name")
assert far == near
assert download["bytes"] > 0 and download["free_bytes"] > 0, download
assert download["measured_bytes_per_second"] is None or download["seconds"] > 0, download
END
}

@test "--plan of a name: headers and config are enough, whatever the format" {
    # The last one's header is longer than what is asked for at first.
    cp -r "$GOLDEN/qwen3" "$BATS_FILE_TMPDIR/root/org/long"
    "$PLAIN_PYTHON" - "$BATS_FILE_TMPDIR/root/org/long/model.safetensors" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
n = int.from_bytes(data[:8], "little")
header = data[8:8 + n] + b" " * 150000
open(sys.argv[1], "wb").write(len(header).to_bytes(8, "little") + header + data[8 + n:])
END
    for model in demo qwen3_moe-int4 qwen3_moe-gptq-sym qwen3_moe-nvfp4 gpt_oss-mxfp4 long; do
        from=$(from "org/$model")
        [ -d "$from" ] || cp -r "$GOLDEN/$model" "$from"
        "$EXTRACT" --plan --memory 1G "org/$model" >far.json
        "$EXTRACT" --plan --memory 1G "$from" >near.json
        echo "$model"
        same_plan far.json near.json
        [ ! -e "$(snapshot "org/$model")/model.safetensors" ]
    done
    ask log | awk '/long%2Fmodel.safetensors/ && /^store/ { print $3 }' >ranges
    grep -qx 'bytes=100000-1[0-9]*' ranges
    # Of what is there in part it says what is still missing; then there is nothing to fetch.
    fetch org/demo
    "$EXTRACT" --plan --memory 1G org/demo >near.json
    not grep -q '"download"' near.json
    rm "$(readlink -f "$(snapshot org/demo)/model.safetensors")"
    HF_HUB_OFFLINE=1 "$EXTRACT" --plan --memory 1G org/demo >near.json
    grep -q '"known_from": "config.json"' near.json
    ask set org/demo '{"store": [403, 403, 403, 403]}'
    "$EXTRACT" --plan --memory 1G org/demo 2>said >near.json
    grep -q 'model.safetensors: .* answers 403: .*; this plan is made from config.json alone' said
    ask set org/demo
}

@test "the Hub's Python client reads what was fetched here" {
    client 'pass'
    fetch org/three
    ask log >/dev/null
    HF_HUB_OFFLINE=1 client '
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
directory = open("directory").read().strip()
assert snapshot_download("org/three") == directory
for name in ["config.json", "tokenizer.json", "model-00002-of-00003.safetensors"]:
    assert hf_hub_download("org/three", name) == directory + "/" + name
cache = scan_cache_dir()
assert [(r.repo_id, r.nb_files) for r in cache.repos] == [("org/three", 7)], cache
assert not cache.warnings, cache.warnings'
    # Online too: it takes what is there for its own.
    client 'from huggingface_hub import hf_hub_download as get; get("org/three", "model-00001-of-00003.safetensors")'
    [ "$(ask sent org/three)" -eq 0 ]
}

@test "what the Hub's Python client fetched is read here, and completed" {
    client 'pass'
    client 'from huggingface_hub import snapshot_download as get; print(get("org/three", ignore_patterns=["*.bin", "original/*"]))' >theirs
    ask log >/dev/null
    HF_HUB_OFFLINE=1 fetch org/three
    cmp directory theirs
    fetch org/three
    [ "$(ask log | wc -l)" -eq 1 ]
    good org/three
    client 'from huggingface_hub import hf_hub_download as get; get("org/one", "config.json")'
    ask log >/dev/null
    fetch org/one
    grep -q ', 3 files, ' said
    good org/one
    ask once org/one "$(from org/one)"
}

@test "blobs that are links into a store of all models are followed" {
    fetch org/one
    cd "$CACHE"
    blob=$(readlink -f models--org--one/snapshots/*/model.safetensors)
    mkdir -p blobs/ab
    mv "$blob" blobs/ab/abcd
    ln -s ../../blobs/ab/abcd "$blob"
    ask log >/dev/null
    fetch org/one
    [ "$(ask log | wc -l)" -eq 1 ]
    HF_HUB_OFFLINE=1 fetch org/one
    [ -L "$blob" ]
}
