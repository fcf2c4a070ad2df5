# For tests of downloads: a Hub on this machine (tests/hub/mock_hub.py), whose repositories are
# folders, and a cache of each test's own.
load common
HUB_TESTS=$TESTS/hub
# These need no packages, and a python3 that comes first in PATH may take long to begin.
PLAIN_PYTHON=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)

# begin_hub [ADDRESS]: start it; afterwards HUB, STORE and PROXY are its ports.
begin_hub() {
    mkdir -p "$BATS_FILE_TMPDIR/root"
    "$PLAIN_PYTHON" "$HUB_TESTS/mock_hub.py" "$BATS_FILE_TMPDIR/root" "$@" \
        >"$BATS_FILE_TMPDIR/ports" 2>"$BATS_FILE_TMPDIR/hub.log" 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/hub.pid"
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$BATS_FILE_TMPDIR/ports" ] || return 0
        sleep 0.05
    done
    return 1
}

# another_hub ADDRESS [CERTIFICATE KEY]: one more for this test, its port in ANOTHER; the test ends
# it by end_others.
another_hub() {
    # It must be there before it is looked at: the server's own redirection comes when it comes.
    : >ports
    "$PLAIN_PYTHON" "$HUB_TESTS/mock_hub.py" "$BATS_FILE_TMPDIR/root" "$@" >ports 3>&- &
    echo $! >>"$BATS_TEST_TMPDIR/others"
    for ((i = 0; i < 200 && $(wc -c <ports) == 0; i++)); do sleep 0.05; done
    ANOTHER=$(cut -d' ' -f1 ports)
    : "$ANOTHER"
}

end_others() {
    local server
    [ -e "$BATS_TEST_TMPDIR/others" ] || return 0
    while read -r server; do kill "$server" || true; done <"$BATS_TEST_TMPDIR/others"
}

end_hub() {
    kill "$(cat "$BATS_FILE_TMPDIR/hub.pid")"
}

# What the environment of whoever runs the tests says of the Hub, or of proxies, must not count.
use_hub() {
    read -r HUB STORE PROXY <"$BATS_FILE_TMPDIR/ports"
    unset HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_HUB_CACHE HUGGINGFACE_HUB_CACHE \
        XDG_CACHE_HOME HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_HUB_DISABLE_IMPLICIT_TOKEN \
        HF_HUB_ETAG_TIMEOUT HF_HUB_DOWNLOAD_TIMEOUT SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE \
        http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    export HF_ENDPOINT=http://127.0.0.1:$HUB HF_HOME=$BATS_TEST_TMPDIR/hf
    CACHE=$HF_HOME/hub
    cd "$BATS_TEST_TMPDIR"
    # For those who source this file.
    : "$STORE" "$PROXY" "$CACHE"
}

# repository ORG/NAME ARGUMENTS...: make it as make_repository.py says.
repository() {
    local name=$1
    shift
    "$PLAIN_PYTHON" "$HUB_TESTS/make_repository.py" "$BATS_FILE_TMPDIR/root/$name" "$@"
}

# Faults are of a repository: another name of the same one, and a cache of its own, so that tests
# can wait side by side. like NEW OLD [FAULTS]
like() {
    ln -sfn "$2" "$BATS_FILE_TMPDIR/root/org/$1"
    [ -z "${3:-}" ] || ask set "org/$1" "$3"
}

# start COMMAND...: in the background; together: all of them have passed.
start() {
    "$@" 3>&- &
    STARTED+=($!)
}
together() {
    local job bad=0
    for job in "${STARTED[@]}"; do
        wait "$job" || bad=1
    done
    STARTED=()
    return $bad
}

ask() { "$PLAIN_PYTHON" "$HUB_TESTS/ask.py" "$HUB" "$@"; }

# The repository and its snapshot in a cache.
from() { echo "$BATS_FILE_TMPDIR/root/$1"; }
snapshot() { echo "${2:-$CACHE}/models--${1/\//--}/snapshots/"*; }

# good ORG/NAME [CACHE]: what was fetched is what the repository has, complete and not more.
good() {
    local here name
    here=$(snapshot "$1" "${2:-$CACHE}")
    for name in config.json tokenizer.json tokenizer_config.json; do
        cmp "$here/$name" "$(from "$1")/$name" || return 1
    done
    for name in "$(from "$1")"/model*.safetensors; do
        cmp "$here/$(basename "$name")" "$name" || return 1
    done
    nothing_unfinished "${2:-$CACHE}/models--${1/\//--}"
}

nothing_unfinished() {
    [ -z "$(find "$1" -name '*.ol.*' -o -name '*.tmp')" ]
}

# fetch ORG/NAME: its messages in `said`.
fetch() {
    "$EXTRACT" --download "$@" >directory 2>said || {
        cat said
        return 1
    }
}

# refuses ORG/NAME TEXT: it fails with status 1 and one line that holds the text.
refuses() {
    local status=0
    "$EXTRACT" -q --download "$1" >directory 2>said || status=$?
    cat said
    [ "$status" -eq 1 ] && [ "$(wc -l <said)" -eq 1 ] && [ ! -s directory ] && grep -qF -- "$2" said
}

# A Python with the Hub's own client, or none.
client() {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        if "$candidate" -c 'import huggingface_hub' 2>/dev/null; then
            HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 "$candidate" -c "$@"
            return
        fi
    done
    skip 'there is no huggingface_hub'
}
