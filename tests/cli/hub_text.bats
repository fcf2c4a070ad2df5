# Texts at the Hub: files of data sets, by ranges or whole, and what is kept of them.
load hub

REPO=datasets/org/texts
FILE=sample/a.parquet
ADDRESS=hf://$REPO/$FILE
PINNED=87f09149ef4734204d70ed1d046ddc9ca3f2b8f9

# data_set REPO PATH ROWS OPTIONS...: where its parts lie goes into PATH's name with .places.
data_set() {
    local file
    file=$(from "$1")/$2
    "$PLAIN_PYTHON" "$HUB_TESTS/make_data_set.py" "$file" "${@:3}" >places
    mv places "$BATS_FILE_TMPDIR/$(basename "$2").places"
    mv "${file%.parquet}.jsonl" "$BATS_FILE_TMPDIR/$(basename "$2" .parquet).jsonl"
}

setup_file() {
    load hub
    begin_hub
    cd "$BATS_FILE_TMPDIR"
    data_set "$REPO" "$FILE" 700 --group 300
    data_set "$REPO" sample/packed.parquet 2000 --gzip
    data_set datasets/HuggingFaceFW/fineweb-edu sample/10BT/000_00000.parquet 100
    data_set datasets/HuggingFaceFW/fineweb-edu sample/10BT/001_00000.parquet 100 --from 100
    gzip <a.jsonl >"root/$REPO/lines.jsonl.gz"
    zstd -q <a.jsonl >"root/$REPO/lines.jsonl.zst"
    printf '{"body": "It was a pleasant day."}\n' >"root/$REPO/other.jsonl"
    cp "$HELDOUT" "root/$REPO/plain text.txt"
    mkdir -p root/org
    cp -r "$DEMO" root/org/demo
}

teardown_file() { load hub && end_hub; }
setup() { use_hub; }
teardown() { end_others; }

tokenize() { "$EXTRACT" --tokenize "$@" "$DEMO"; }
kept() { find "$CACHE" -name '*.jsonl' -path '*/ol-texts/*'; }
# The bytes of a part: part FILE 'page 0 text 100'.
part() { sed -n "s/^$2 //p" "$BATS_FILE_TMPDIR/$1.places"; }

# says_not TEXT ARGUMENTS...: one line that holds it, and nothing else.
says_not() {
    local text=$1 status=0
    shift
    "$EXTRACT" --tokenize "$@" "$DEMO" >ids 2>said || status=$?
    cat said
    [ "$status" -eq 1 ] && [ "$(grep -vc downloading said)" -eq 1 ] && grep -qF -- "$text" said
}

@test "of a Parquet file the footer and the pages that are needed, and no byte twice" {
    tokenize -n 3 -l 64 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    ask log >/dev/null
    tokenize -n 3 -l 64 -t "$ADDRESS" >got 2>said
    cmp got want
    ask ranges "$REPO" "$FILE" >sent
    cat sent
    read -r first end < <(part a.parquet 'page 0 text 0')
    read -r footer_first _ < <(part a.parquet footer)
    printf '%s\n' "$first $end" "$footer_first $(stat -c %s "$(from "$REPO")/$FILE")" | diff - sent
    # The second page, and what follows it of the column in the other row group.
    tokenize -n 1 -l 15000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    rm -r "$CACHE"
    tokenize -n 1 -l 15000 -t "$ADDRESS" 2>said | cmp - want
    ask ranges "$REPO" "$FILE" >sent
    cat sent
    [ "$(head -n 1 sent | cut -d' ' -f1)" = "$first" ]
    # Two requests for the footer, then a window and the rest for each page.
    grep -qE 'fetched [0-9.]+ [kM]B of [0-9.]+ kB in [0-9]+ requests; its first [0-9]+ documents are kept' said
}

@test "what follows the pages that are needed is not asked for" {
    # Rows of all of the first group and one page of the next.
    head -n 301 "$BATS_FILE_TMPDIR/a.jsonl" | tokenize --text-field text -t - | tr ' ' '\n' | wc -l >n
    tokenize -n 1 -l "$(cat n)" -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    ask log >/dev/null
    tokenize -n 1 -l "$(cat n)" -t "$ADDRESS" 2>said | cmp - want
    ask ranges "$REPO" "$FILE" >sent
    {
        echo "$(part a.parquet 'page 0 text 0' | cut -d' ' -f1) $(part a.parquet 'page 0 text 200' | cut -d' ' -f2)"
        part a.parquet 'page 1 text 300'
        echo "$(part a.parquet footer | cut -d' ' -f1) $(stat -c %s "$(from "$REPO")/$FILE")"
    } | diff - sent
}

@test "what was used is kept: the next run needs no network, and more text asks for more" {
    tokenize -n 3 -l 64 -t "$ADDRESS" >first 2>/dev/null
    [[ $(basename "$(kept)") == first-100.*.jsonl ]]
    [ "$(basename "$(kept)" .jsonl | cut -d. -f2)" = "$(sha256sum "$(kept)" | cut -d' ' -f1)" ]
    head -n 100 "$BATS_FILE_TMPDIR/a.jsonl" >rows
    "$PLAIN_PYTHON" -c 'import json, sys
a, b = ([json.loads(line) for line in open(name)] for name in sys.argv[1:])
assert a == b' rows "$(kept)"
    ask log >/dev/null
    tokenize -n 3 -l 64 -t "$ADDRESS" 2>said | cmp - first
    [ -z "$(ask log)" ]
    [ ! -s said ]
    HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "$ADDRESS" | cmp - first
    # Of the commit that main was, whatever it is now.
    HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "hf://$REPO@$(cat "$CACHE"/datasets--org--texts/refs/main)/$FILE" | cmp - first
    HF_HUB_OFFLINE=1 says_not 'the first 100 documents, kept in ' -n 1 -l 60000 -t "$ADDRESS"
    HF_HUB_OFFLINE=1 says_not 'is not in the cache, and HF_HUB_OFFLINE forbids' -n 1 -l 60 -t "$ADDRESS#id"
    tokenize -n 1 -l 60000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    ask log >/dev/null
    tokenize -n 1 -l 60000 -t "$ADDRESS" 2>said | cmp - want
    [ "$(kept | wc -l)" -eq 1 ]
    # It went on behind the page that was there.
    ask ranges "$REPO" "$FILE" >sent
    cat sent
    [ "$(head -n 1 sent | cut -d' ' -f1)" = "$(part a.parquet 'page 0 text 100' | cut -d' ' -f1)" ]
    HF_HUB_OFFLINE=1 tokenize -n 1 -l 60000 -t "$ADDRESS" | cmp - want
    HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "$ADDRESS" | cmp - first
    # All of it.
    tokenize -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    tokenize -t "$ADDRESS" 2>said | cmp - want
    [[ $(basename "$(kept)") == all-700.*.jsonl ]]
    HF_HUB_OFFLINE=1 tokenize -t "$ADDRESS" | cmp - want
    HF_HUB_OFFLINE=1 says_not 'the text has' -n 2 -l 1000000 -t "$ADDRESS"
    # What is kept and damaged is not used.
    printf x >>"$(kept)"
    HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "$ADDRESS" >none 2>said && false
    grep -q 'is damaged (its SHA-256 is not that of its name) and not used' said
    grep -q 'HF_HUB_OFFLINE forbids' said
}

@test "a text that is packed, in pages of its own size, and columns by name" {
    tokenize -n 1 -l 200000 -t "$BATS_FILE_TMPDIR/packed.jsonl" >want
    tokenize -n 1 -l 200000 -t "hf://$REPO/sample/packed.parquet#text" 2>said | cmp - want
    ask ranges "$REPO" sample/packed.parquet >sent
    [ "$(wc -l <sent)" -le 3 ]
    says_not "has no column 'body'; its columns of strings are: id, text, url" -t "$ADDRESS#body"
    says_not "has no column 'body'" -t "$ADDRESS" --text-field body
    tokenize -t "$ADDRESS#id" -n 2 -l 10 2>said | wc -l | grep -qx 2
}

@test "other files of a data set are fetched whole, and read as files are" {
    tokenize -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    tokenize -t "hf://$REPO/lines.jsonl.gz" 2>said | cmp - want
    grep -q 'datasets/org/texts: downloading .* 1 file, to ' said
    tokenize -t "hf://$REPO@v1.0/lines.jsonl.zst" 2>/dev/null | cmp - want
    ask log >/dev/null
    tokenize -t "hf://$REPO/lines.jsonl.gz" | cmp - want
    HF_HUB_OFFLINE=1 tokenize -t "hf://$REPO@v1.0/lines.jsonl.zst" | cmp - want
    [ -z "$(ask log)" ]
    nothing_unfinished "$CACHE/datasets--org--texts"
    tokenize -t "hf://$REPO/plain text.txt" 2>/dev/null | cmp - <(tokenize -t "$HELDOUT")
    printf 'It was a pleasant day.' >plain
    tokenize -t "hf://$REPO/other.jsonl#body" 2>/dev/null | cmp - <(tokenize -t plain)
    HF_HUB_OFFLINE=1 tokenize -t "hf://$REPO/other.jsonl" --text-field body | cmp - <(tokenize -t plain)
    HF_HUB_OFFLINE=1 says_not 'is not in the cache, and HF_HUB_OFFLINE forbids' -t "hf://$REPO/none.jsonl"
    for address in "hf://$REPO@refs/pr/1/other.jsonl#body" "hf://$REPO@refs%2Fpr%2F1/other.jsonl#body"; do
        tokenize -t "$address" 2>/dev/null | cmp - <(tokenize -t plain)
    done
    [ -e "$CACHE/datasets--org--texts/refs/refs/pr/1" ]
}

@test "a Parquet file that is in the cache is read there" {
    snapshot=$CACHE/datasets--org--texts/snapshots/$PINNED
    mkdir -p "$snapshot/sample" "$CACHE/datasets--org--texts/refs"
    cp "$(from "$REPO")/$FILE" "$snapshot/sample"
    printf %s "$PINNED" >"$CACHE/datasets--org--texts/refs/main"
    ask log >/dev/null
    tokenize -n 1 -l 60000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    tokenize -n 1 -l 60000 -t "$ADDRESS" 2>said | cmp - want
    HF_HUB_OFFLINE=1 tokenize -n 1 -l 60000 -t "hf://$REPO@$PINNED/$FILE" | cmp - want
    [ -z "$(ask log)" ]
    [ ! -s said ]
    [ -z "$(kept)" ]
}

@test "the Hub's Python client and this one find what the other fetched of a data set" {
    client 'pass'
    tokenize -n 3 -l 64 -t "$ADDRESS" >want 2>/dev/null
    tokenize -n 3 -l 64 -t "hf://$REPO/lines.jsonl.gz" 2>/dev/null | cmp - want
    HF_HUB_OFFLINE=1 client '
from huggingface_hub import hf_hub_download, scan_cache_dir
assert open(hf_hub_download("org/texts", "lines.jsonl.gz", repo_type="dataset"), "rb").read(2) == b"\x1f\x8b"
cache = scan_cache_dir()
assert [(r.repo_id, r.repo_type, r.nb_files) for r in cache.repos] == [("org/texts", "dataset", 1)], cache
assert not cache.warnings, cache.warnings'
    rm -r "$CACHE"
    client '
from huggingface_hub import hf_hub_download as get
for path in "lines.jsonl.zst", "sample/a.parquet":
    get("org/texts", path, repo_type="dataset")'
    ask log >/dev/null
    tokenize -n 3 -l 64 -t "hf://$REPO/lines.jsonl.zst" | cmp - want
    HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "$ADDRESS" | cmp - want
    [ -z "$(ask log)" ]
}

@test "what is not there, and no address" {
    says_not 'datasets/org/texts: has no file sample/b.parquet at that revision' -t "hf://$REPO/sample/b.parquet"
    says_not 'datasets/org/texts: has no file none/b.parquet at that revision' -t "hf://$REPO/none/b.parquet"
    says_not "datasets/org/texts: has no revision 'v2'" -t "hf://$REPO@v2/$FILE"
    says_not "datasets/org/none: there is no such data set at $HF_ENDPOINT, or a private one: set HF_TOKEN" \
        -t "hf://datasets/org/none/$FILE"
    local address
    for address in hf://org/texts/x.parquet hf://datasets/org/texts hf://datasets/org/texts/ hf://datasets/org/te@xt \
        hf://datasets/org/texts/../x.jsonl hf://datasets/org/texts@../x hf://datasets/o--g/texts/x hf://; do
        says_not "$address: names no file of a data set: expected hf://datasets/ORG/NAME[@REVISION]/PATH[#COLUMN]" -t "$address"
    done
    not ls -d "$CACHE"/datasets--*
}

@test "a store that cuts, moves, slows and forgets brings the same text" {
    tokenize -n 1 -l 15000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    local fault
    for fault in '"cut": [5, 3000, 70000]' '"store": [503, null, 403]' '"range": ["shifted", "unsaid"]' '"ttl": 1' \
        '"range": ["ignored"]' '"date": "X-Amz"'; do
        rm -rf "$CACHE"
        ask set "$REPO" "{$fault}"
        tokenize -n 1 -l 15000 -t "$ADDRESS" 2>said >got || { cat said && return 1; }
        cmp got want
    done
    rm -rf "$CACHE"
    ask set "$REPO" '{"etag": "0000"}'
    says_not 'it was changed meanwhile' -q -n 1 -l 15000 -t "$ADDRESS"
    ask set "$REPO" '{"token": "hf_good", "gated": true}'
    says_not "open $HF_ENDPOINT/$REPO, accept them, and set" -q -n 1 -l 15000 -t "$ADDRESS"
    ask log >/dev/null
    HF_TOKEN=hf_good tokenize -n 1 -l 15000 -t "$ADDRESS" 2>said | cmp - want
    [ "$(ask tokens)" = hub ]
    not grep -v first- <(kept)
    ask set "$REPO"
}

@test "a disk that is full, and a process that is killed, leave what is kept as it was" {
    ! sanitized || skip 'sanitizers and preloaded calls do not go together'
    tokenize -n 3 -l 64 -t "$ADDRESS" >first 2>/dev/null
    tokenize -n 1 -l 30000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    kept >before
    for fault in 'fsync 1 ENOSPC' 'rename 1 ENOSPC' 'linkat 1 ENOSPC' 'fsync 1 KILL' 'rename 1 KILL' 'linkat 1 KILL'; do
        read -r call at error <<<"$fault"
        status=0
        LD_PRELOAD=$TOOLS/tests/fault.so FAULT_CALL=$call FAULT_AT=$at FAULT_ERROR=$error FAULT_ON_FROM=1 \
            "$EXTRACT" -q --tokenize -n 1 -l 30000 -t "$ADDRESS" "$DEMO" >got 2>said || status=$?
        echo "$fault: $status: $(cat said)"
        if [ "$error" = KILL ]; then [ "$status" -eq 137 ]; else
            [ "$status" -eq 1 ]
            [ "$(grep -c 'No space left on device' said)" -eq 1 ]
            [ -z "$(find "$CACHE" -name 'unnamed*')" ]
        fi
        kept | grep /first- | diff before -
        HF_HUB_OFFLINE=1 tokenize -n 3 -l 64 -t "$ADDRESS" | cmp - first
        find "$CACHE" -name 'unnamed*' -delete
    done
    tokenize -n 1 -l 30000 -t "$ADDRESS" 2>/dev/null | cmp - want
    mkdir small
    mount -t tmpfs -o size=96k tmpfs small 2>/dev/null || skip 'no right to mount'
    status=0
    HF_HUB_CACHE=$PWD/small "$EXTRACT" -q --tokenize -n 1 -l 30000 -t "$ADDRESS" "$DEMO" >got 2>said || status=$?
    cat said
    files=$(find small -name '*.jsonl*')
    umount small
    [ "$status" -eq 1 ]
    grep -q 'No space left on device' said
    [ -z "$files" ]
}

@test "two processes at once keep one text" {
    tokenize -n 1 -l 30000 -t "$BATS_FILE_TMPDIR/a.jsonl" >want
    for i in 1 2 3; do tokenize -n 1 -l 30000 -t "$ADDRESS" >"got$i" 2>/dev/null & done
    wait
    for i in 1 2 3; do cmp "got$i" want; done
    [ "$(kept | wc -l)" -eq 1 ]
    HF_HUB_OFFLINE=1 tokenize -n 1 -l 30000 -t "$ADDRESS" | cmp - want
}

@test "fineweb-edu: a pinned commit, file after file" {
    ask set datasets/HuggingFaceFW/fineweb-edu "{\"commit\": \"$PINNED\"}"
    tokenize -n 2 -l 100 -t "$BATS_FILE_TMPDIR/000_00000.jsonl" >want
    ask log >/dev/null
    tokenize -n 2 -l 100 -t fineweb-edu 2>said | cmp - want
    # The list of a folder's files, where it is, the two ends and a page in two requests.
    ask log | cut -d' ' -f1 | sort | uniq -c | tr -s ' \n' ' ' | grep -qx ' 2 hub 4 store ' || { ask log && return 1; }
    # Both files as one text.
    cat "$BATS_FILE_TMPDIR"/00[01]_00000.jsonl >both.jsonl
    "$EXTRACT" -q "$DEMO" -t fineweb-edu -n 10 -l 3000 --layers 0 --store none -o both.h5
    "$EXTRACT" -q "$DEMO" -t both.jsonl -n 10 -l 3000 --layers 0 --store none -o json.h5
    "$PYTHON" - "$PINNED" <<'END'
import h5py, sys
both, json = (h5py.File(name + ".h5")["input"] for name in ("both", "json"))
assert (both["token_ids"][:] == json["token_ids"][:]).all()
assert both.attrs["text_sha256"] == json.attrs["text_sha256"]
assert both.attrs["source"] == ", ".join("hf://datasets/HuggingFaceFW/fineweb-edu@%s/sample/10BT/%03d_00000.parquet#text"
                                         % (sys.argv[1], i) for i in range(2)), both.attrs["source"]
END
    # A file of that name is one by its path.
    cp "$HELDOUT" fineweb-edu
    tokenize -t ./fineweb-edu -n 1 -l 10 | cmp - <(tokenize -t "$HELDOUT" -n 1 -l 10)
}

@test "--download fetches what a run will use of a text" {
    "$EXTRACT" --download "$DEMO" -t "$ADDRESS" -n 2 -l 64 >directory 2>said
    [ "$(cat directory)" = "$DEMO" ]
    [[ $(basename "$(kept)") == first-100.* ]]
    export HF_HUB_OFFLINE=1
    "$EXTRACT" -q "$DEMO" -t "$ADDRESS" -n 2 -l 64 --layers 0 -o x.h5
    "$EXTRACT" --download "$DEMO" -t "$ADDRESS" -n 200 -l 640 2>said && false
    grep -q 'the first 100 documents, kept in ' said
}

@test "a text that is not there is told before the weights are fetched" {
    for text in hf://datasets/org/none/a.parquet "hf://$REPO/none.jsonl" "$ADDRESS#none"; do
        run "$EXTRACT" org/demo -t "$text" -n 1 -l 64 -o none.h5
        [ "$status" -eq 1 ]
        [ ! -e none.h5 ]
        [ -z "$(find "$CACHE" -name model.safetensors)" ]
        run "$EXTRACT" --download org/demo -t "$text"
        [ "$status" -eq 1 ]
        [ -z "$(find "$CACHE" -name model.safetensors)" ]
    done
    ask log >/dev/null
    "$EXTRACT" -q org/demo -t "$ADDRESS" -n 1 -l 64 -o some.h5
    ask ranges "$REPO" "$FILE" >sent
    [ "$(wc -l <sent)" -eq 2 ]
}

@test "--windowing reference: the same ids as of the rows themselves" {
    ask set datasets/HuggingFaceFW/fineweb-edu "{\"commit\": \"$PINNED\"}"
    tokenize --windowing reference -n 4 -l 300 -t "$BATS_FILE_TMPDIR/000_00000.jsonl" >want
    tokenize --windowing reference -n 4 -l 300 -t fineweb-edu 2>/dev/null | cmp - want
    HF_HUB_OFFLINE=1 tokenize --windowing reference -n 4 -l 300 -t fineweb-edu | cmp - want
}

@test "make run: from two names to a report in one line, and offline again" {
    ask set datasets/HuggingFaceFW/fineweb-edu "{\"commit\": \"$PINNED\"}"
    unset TEXT FORMAT REPORT # of the make that this test is part of
    make_run() { make -C "$ROOT" --no-print-directory -o all run B="$TOOLS" MODEL=org/demo N=2 L=64 OUT="$PWD/run.h5" \
        EXTRACT_OPTIONS='--threshold 3' ANALYZE_OPTIONS='--threshold 3'; }
    make_run >report.md 2>said
    cat said
    # What comes, and where to, before anything does.
    grep -n 'fineweb-edu: of hf://datasets/HuggingFaceFW/fineweb-edu@' said | grep -q 'the text is kept in '
    [ "$(grep -n 'will be fetched' said | cut -d: -f1)" -lt "$(grep -n -m 1 'org/demo: downloading' said | cut -d: -f1)" ]
    # The text is there before the weights come.
    [ "$(grep -n 'documents are kept' said | cut -d: -f1)" -lt "$(grep -n 'org/demo: downloading 6.4 MB' said | cut -d: -f1)" ]
    grep -q 'fineweb-edu@' report.md || grep -q "$PINNED" run.json
    mv run.h5 first.h5
    ask log >/dev/null
    HF_HUB_OFFLINE=1 make_run >again.md 2>said
    cmp report.md again.md
    same_run first.h5 run.h5
    [ -z "$(ask log)" ]
    not grep -q fetched said
}
