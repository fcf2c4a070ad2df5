# What a Hub, a store, a line or a disk may do wrong: a good file in the end, or one clear line.
# Long: starts early.
load hub

setup_file() {
    load hub
    begin_hub
    repository org/one --single 9000000
    repository org/three 5000000 3000000 7000001
}

teardown_file() { load hub && end_hub; }
setup() { use_hub; }

# mended NAME FAULTS TEXT: the file is good all the same, and a message says TEXT.
mended() {
    like "$1" one "$2"
    mkdir -p "$1"
    if "$EXTRACT" -v --download "org/$1" >"$1/directory" 2>"$1/said" && good "org/$1" &&
        grep -qE -- "$3" "$1/said"; then
        return 0
    fi
    echo "$1: $2, expected '$3':"
    cat "$1/said"
    return 1
}

# refused NAME FAULTS TEXT: nothing gets its name, and one line says TEXT.
refused() {
    like "$1" one "$2"
    mkdir -p "$1"
    local status=0
    "$EXTRACT" -q --download "org/$1" >"$1/directory" 2>"$1/said" || status=$?
    if [ "$status" -eq 1 ] && [ "$(wc -l <"$1/said")" -eq 1 ] && grep -qE -- "$3" "$1/said" &&
        [ ! -e "$CACHE/models--org--$1/refs/main" ] && ! has_weights "org/$1"; then
        return 0
    fi
    echo "$1: $2, status $status, expected '$3':"
    cat "$1/said"
    return 1
}

has_weights() { ls "$(snapshot "$1")"/*.safetensors >/dev/null 2>&1; }

@test "a line that is cut goes on where it was cut" {
    for k in 0 1 1000 65535 1048576 4000000; do
        start mended "cut$k" "{\"cut\": [$k, null, $k]}" .
    done
    # As long as something comes, as often as it takes.
    start mended often "{\"cut\": [$(printf '300000, %.0s' {1..20}) 300000]}" .
    together
    like cut three '{"cut": [70000, 300000, 1500000, 2000000, 40000]}'
    ask log >/dev/null
    fetch org/cut
    good org/cut
    ask once org/cut "$(from org/cut)"
}

@test "too many requests: what the Hub says is waited for" {
    start mended told '{"hub": [[429, {"Retry-After": "1"}]]}' '429, too many requests: waiting 1 s \(with a token'
    start mended limit '{"hub": [[429, {"RateLimit": "\"resolvers\";r=0;t=1"}]]}' 'waiting 2 s'
    start mended untold '{"hub": [429]}' 'waiting 1 s'
    start mended later '{"hub": [null, [429, {"Retry-After": "1"}], null, 429]}' 'waiting 1 s'
    start mended store '{"store": [[429, {"Retry-After": "1"}], 429]}' 'waiting 1 s'
    start refused long '{"hub": [[429, {"Retry-After": "7200"}]]}' 'asks to wait 7200 s: try again then, or set HF_TOKEN'
    together
    # And really waited for.
    mended waited '{"hub": [[429, {"Retry-After": "1"}]]}' 'waiting 1 s'
    ask pauses org/waited | awk '{ ok = $1 >= 1 } END { exit !ok }'
    mended waits '{"store": [[429, {"Retry-After": "1"}]]}' 'waiting 1 s'
    ask pauses org/waits | awk '{ ok = $1 >= 1 } END { exit !ok }'
}

@test "servers that fail for a time, and for good" {
    for status in 408 500 502 503 504; do
        start mended "hub$status" "{\"hub\": [$status, null, $status]}" "the answer is $status; trying again"
        start mended "store$status" "{\"store\": [$status, null, $status]}" "the answer is $status; trying again"
    done
    start refused down '{"hub": [503, 503, 503, 503, 503]}' 'the Hub cannot be asked: .*the answer is 503, 5 times without progress'
    start refused broken "{\"store\": [$(printf '503, %.0s' {1..99}) 503]}" 'model.safetensors: .*503, 5 times without progress: try again later; what has come is kept'
    start unreachable
    start refused wrong "{\"range\": [$(printf '"shifted", %.0s' {1..99}) \"shifted\"]}" '5 times without progress'
    start refused teapot '{"store": [418, 418, 418]}' 'answers 418: instead: 418'
    together
}

unreachable() {
    HF_ENDPOINT=http://127.0.0.1:1 HF_HUB_CACHE=$PWD/none refuses org/one 'org/one: is no directory, nor in the cache as far as it is needed, and the Hub cannot be asked: http://127.0.0.1:1/'
}

@test "a wrong byte is fetched once more, then refused" {
    mended flip '{"flip": [5000000]}' 'its SHA-256 is not what the Hub says: fetching it once more'
    refused flips '{"flip": [5000000, 5000000]}' 'model.safetensors: its SHA-256 is [0-9a-f]{64}, .* for the second time: refused'
    mended small '{"flip": [20], "small": true}' "its (git's SHA-1|SHA-256) is not what"
    # What was wrong is gone; what of the small files was under way may be kept.
    [ -z "$(find "$CACHE/models--org--flips" -regextype posix-extended -regex '.*/[0-9a-f]{64}\.ol\..*')" ]
    ask set org/flips
    fetch org/flips
    good org/flips
}

@test "a range is what was asked for, to the byte" {
    mended shifted '{"range": ["shifted"]}' 'answers with the bytes [0-9]+-[0-9]+, asked for [0-9]+-[0-9]+'
    mended unsaid '{"range": [null, "unsaid"]}' '206 without Content-Range'
    mended short '{"range": ["short"]}' 'answers with the bytes'
    mended ignored '{"range": [null, "ignored"]}' .
    mended ignores '{"range": ["ignored", "ignored", "ignored", "ignored"]}' .
    refused other '{"range": ["other size", "other size"]}' 'the Hub says that it has 9000086 bytes, its listing 9000085: it was changed meanwhile'
    refused etag '{"etag": "0123"}' "the Hub's etag is 0123, its listing's [0-9a-f]+: it was changed"
    refused grown '{"grown": 5}' 'its listing [0-9]+: it was changed meanwhile'
}

@test "an address that has expired is asked for anew, once for a range" {
    mended expired '{"store": [403]}' 'the address has expired: asking for another'
    refused gone '{"ttl": -5}' 'answers 403: <Error>Request has expired</Error>'
    not grep -q Signature gone/said
    # What will have expired soon is asked for anew before.
    for date in '"Expires"' '"X-Amz"' null; do
        name=soon$(tr -dc A-Za-z <<<"$date")
        mended "$name" "{\"ttl\": 20, \"date\": $date}" .
        ask log >asked
        case $date in
        null) [ "$(grep -c '^hub 302' asked)" -eq 1 ] ;;
        *) [ "$(grep -c '^hub 302' asked)" -gt 1 ] ;;
        esac
    done
    mended long '{}' .
    [ "$(ask log | grep -c '^hub 302')" -eq 1 ]
}

@test "redirects: renamed, round and round, nowhere" {
    like renamed one '{"renamed": "org/one"}'
    fetch org/renamed
    good org/renamed
    refused loop '{"redirect": "loop"}' 'redirects again and again, more than 20 times'
    refused scheme '{"redirect": "ftp://127.0.0.1/x"}' 'none of http or https'
    refused file '{"redirect": "file:///etc/passwd"}' 'none of http or https'
    mended direct '{"direct": true}' .
}

@test "listings: pages, paths that lead out of the cache, sizes that no disk has" {
    n=0
    mended pages '{"sizes": false, "page": 2}' .
    ask set org/pages '{"sizes": false, "page": 2, "next": "http://127.0.0.1:1/more"}'
    refuses org/pages 'the listing goes on at http://127.0.0.1:1/more, which is not the Hub'
    for path in ../x /etc/x a/../../x 'a\\x' a//x ./x .. ''; do
        start refused "hostile$((++n))" "{\"extra\": [\"$path\"]}" 'would lead out of the cache: nothing of it is taken'
    done
    start refused array '{"answer": []}' 'expected an object with "sha"'
    start refused empty '{"answer": {}}' 'names no commit, and is no Hub'
    start refused nul '{"extra": ["a\u0000b"]}' 'would lead out of the cache'
    start refused large '{"claimed": 1000000000000000}' 'needs [0-9.]+ GB of room in .*, where [0-9.]+ .B are free'
    start refused disabled '{"disabled": true}' 'was taken down'
    start refused gzip '{"gzip": true}' 'answers compressed \(gzip\)'
    together
    [ ! -e "$CACHE/x" ] && [ ! -e "$CACHE/models--org--hostile1" ]
}

@test "what stalls is begun again" {
    HF_HUB_DOWNLOAD_TIMEOUT=1 mended slow '{"slow": [0.3]}' 'too slow'
    HF_HUB_DOWNLOAD_TIMEOUT=0 refuses org/one "HF_HUB_DOWNLOAD_TIMEOUT: '0' is no number of seconds"
}

@test "a download that is killed goes on, at whatever write" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    # MOMENTS: more of them, by hand.
    for at in ${MOMENTS:-1 5 30 100 200}; do
        like "kill$at" three
        LD_PRELOAD=$TOOLS/tests/fault.so FAULT_CALL=pwrite FAULT_AT=$at FAULT_ERROR=KILL \
            "$EXTRACT" -q --download "org/kill$at" >directory 2>said || status=$?
        echo "$at: $status"
        kept=$(kept_bytes "org/kill$at")
        ask log >/dev/null
        fetch "org/kill$at"
        good "org/kill$at"
        sent=$(ask sent "org/kill$at")
        echo "$at: $kept bytes were kept, $sent came after"
        [ "$((kept + sent))" -eq "$(weight_bytes "org/kill$at")" ]
    done
}

@test "nothing that was written is fetched again" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    # Killed before the last of four files has its name: whichever that is, its bytes are all there.
    # The weights are the last.
    like late one '{"pause": 0.5}'
    LD_PRELOAD=$TOOLS/tests/fault.so FAULT_CALL=fsync FAULT_AT=4 FAULT_ERROR=KILL \
        "$EXTRACT" -q --download org/late >directory 2>said || true
    [ "$(kept_bytes org/late)" -eq "$(weight_bytes org/late)" ]
    ask log >/dev/null
    fetch org/late
    good org/late
    [ "$(ask sent org/late)" -eq 0 ]
}

@test "a repository that changes between two runs" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    repository org/moving --single 5000000
    LD_PRELOAD=$TOOLS/tests/fault.so FAULT_CALL=pwrite FAULT_AT=100 FAULT_ERROR=KILL \
        "$EXTRACT" -q --download org/moving >directory 2>said || true
    ls "$CACHE"/models--org--moving/blobs/*.ol.incomplete
    repository org/moving --single 6000000
    fetch org/moving
    grep -qE 'org/moving: [0-9.]+ .B of unfinished downloads of other revisions are left in ' said
    cmp "$(cat directory)/model.safetensors" "$(from org/moving)/model.safetensors"
    # And when it was whole: both are kept, and the branch means the later one once it is asked for.
    repository org/moving --single 7000000
    HF_HUB_OFFLINE=1 fetch org/moving
    first=$(cat directory)
    fetch org/moving
    [ "$(cat directory)" != "$first" ]
    [ "$(cat "$CACHE/models--org--moving/refs/main")" = "$(basename "$(cat directory)")" ]
    cmp "$(cat directory)/model.safetensors" "$(from org/moving)/model.safetensors"
}

weight_bytes() { cat "$(from "$1")"/model*.safetensors | wc -c; }
# Of weights, whole or on their way.
kept_bytes() {
    "$PLAIN_PYTHON" - "$CACHE/models--${1/\//--}/blobs" <<'END'
import glob, os, sys
total = 0
for path in glob.glob(sys.argv[1] + "/" + "?" * 64):
    total += os.path.getsize(path)
for path in glob.glob(sys.argv[1] + "/" + "?" * 64 + ".ol.ranges"):
    has, size = open(path, "rb").read()[32:], os.path.getsize(path.replace("ranges", "incomplete"))
    total += sum(min(1 << 20, size - (i << 20)) for i, there in enumerate(has) if there)
print(total)
END
}

@test "a full disk, at whatever write" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    for fault in 'fallocate 1' 'fallocate 3' 'ftruncate 2' 'pwrite 1' 'pwrite 11' 'pwrite 90' 'fsync 1' \
        'rename 1' 'rename 6'; do
        read -r call at <<<"$fault"
        like "full$call$at" three
        status=0
        LD_PRELOAD=$TOOLS/tests/fault.so FAULT_CALL=$call FAULT_AT=$at FAULT_ERROR=ENOSPC FAULT_ON_FROM=1 \
            "$EXTRACT" -q --download "org/full$call$at" >directory 2>said || status=$?
        echo "$fault: $status: $(cat said)"
        [ "$status" -eq 1 ]
        [ "$(wc -l <said)" -eq 1 ]
        grep -q 'No space left on device' said
        [ ! -e "$CACHE/models--org--full$call$at/refs/main" ]
        fetch "org/full$call$at"
        good "org/full$call$at"
    done
}

@test "two processes share the work, and every byte comes once" {
    like shared three '{"pause": 0.2}'
    ask log >/dev/null
    "$EXTRACT" --download org/shared >a 2>a.said &
    first=$!
    "$EXTRACT" --download org/shared >b 2>b.said
    wait "$first"
    cat a.said b.said
    cmp a b
    good org/shared
    ask once org/shared "$(from org/shared)"
    cat a.said b.said | grep -q 'another process is fetching it: waiting'
}

@test "a damaged blob is told, and left alone" {
    fetch org/one
    blob=$(readlink -f "$(snapshot org/one)/model.safetensors")
    truncate -s 5 "$blob"
    refuses org/one 'has 5 bytes, the Hub'"'"'s listing says 9000085: it is damaged: remove it'
    rm "$blob"
    fetch org/one
    good org/one
}

@test "a file system that knows no links" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    export FAULT_CALL=symlink FAULT_AT=1 FAULT_ERROR=EPERM FAULT_ON_FROM=1
    LD_PRELOAD=$TOOLS/tests/fault.so fetch org/three
    good org/three
    [ -z "$(find "$CACHE/models--org--three" -type l)" ]
    ask log >/dev/null
    LD_PRELOAD=$TOOLS/tests/fault.so fetch org/three
    [ "$(ask log | wc -l)" -eq 1 ]
    HF_HUB_OFFLINE=1 fetch org/three
}

@test "files of the same bytes are fetched once" {
    cp -r "$(from org/one)" "$BATS_FILE_TMPDIR/root/org/twins"
    cp "$(from org/one)/tokenizer.json" "$(from org/twins)/vocab.json"
    ask log >/dev/null
    fetch org/twins
    good org/twins
    cmp "$(snapshot org/twins)/vocab.json" "$(from org/one)/tokenizer.json"
    [ "$(ask log | grep -cE 'resolve-cache.*(vocab|tokenizer).json')" -eq 1 ]
}
