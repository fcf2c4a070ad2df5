# A column of a Parquet file as a text (tests/golden/make_parquet.py has what pyarrow writes).
load common
KEPT=$TESTS/golden/parquet

setup() { cd "$BATS_TEST_TMPDIR"; }

tokenize() { "$EXTRACT" --tokenize "$@" "$DEMO"; }

# same ROWS FILE...: each has these rows.
same() {
    local file
    tokenize -t "$1" >rows.ids
    shift
    for file in "$@"; do
        tokenize -t "$file" >ids || return 1
        cmp ids rows.ids || { echo "$file" && return 1; }
    done
}

# refused TEXT ARGUMENTS...: one line that holds it, and nothing else.
refused() {
    local text=$1 status=0
    shift
    tokenize "$@" >ids 2>said || status=$?
    cat said
    [ "$status" -eq 1 ] && [ "$(wc -l <said)" -eq 1 ] && [ ! -s ids ] && grep -qF -- "$text" said
}

@test "plain, by a dictionary, of both versions, with nulls, packed and not" {
    same "$KEPT/rows.jsonl" "$KEPT"/*.parquet
    [ "$(wc -l <rows.ids)" -eq 55 ]
    # Their bytes are what is hashed and cut into windows, whatever they lie in.
    "$EXTRACT" -q "$DEMO" -t "$KEPT/rows.jsonl" -n 2 -l 100 --windowing reference -o json.h5
    "$EXTRACT" -q "$DEMO" -t "$KEPT/snappy.parquet" -n 2 -l 100 --windowing reference -o parquet.h5
    "$PYTHON" - <<'END'
import h5py
json, parquet = (h5py.File(name + ".h5")["input"] for name in ("json", "parquet"))
assert json.attrs["text_sha256"] == parquet.attrs["text_sha256"]
assert (json["token_ids"][:] == parquet["token_ids"][:]).all()
END
}

@test "every combination that pyarrow writes" {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        "$candidate" -c 'import pyarrow' 2>/dev/null || continue
        "$candidate" "$TESTS/golden/make_parquet.py" --all "$PWD"
        same rows.jsonl file-*.parquet
        same full/rows.jsonl full/*.parquet
        return
    done
    skip 'there is no pyarrow'
}

@test "a column is named behind the file, or by --text-field" {
    for i in $(seq 0 59); do echo "{\"text\": \"$i\"}"; done >numbers.jsonl
    same numbers.jsonl "$KEPT/none.parquet#id"
    tokenize -t "$KEPT/none.parquet" --text-field id | cmp - rows.ids
    tokenize -t "$KEPT/none.parquet#id" --text-field text | cmp - rows.ids
    # What has that whole name is meant.
    cp "$KEPT/none.parquet" 'x#id'
    same "$KEPT/rows.jsonl" 'x#id'
    cp "$KEPT/none.parquet" plainly.named
    same "$KEPT/rows.jsonl" plainly.named
    refused "has no column 'body'; its columns of strings are: id, text" -t "$KEPT/none.parquet#body"
    refused 'is no Parquet file, of which #text could name a column' -t "$HELDOUT#text"
    refused 'none#text: cannot open' -t 'none#text'
    refused 'standard input: is a Parquet file; it is read from its end' -t - <"$KEPT/none.parquet"
    gzip <"$KEPT/none.parquet" >packed.parquet
    refused 'packed.parquet: unpacked by gzip, it is a Parquet file; after `gzip -dc packed.parquet >FILE`, it is read from its end' -t packed.parquet
}

@test "what cannot be read is refused by its name" {
    local file
    for file in "$KEPT"/refused/*.parquet; do
        refused "$(cat "${file%.parquet}.error")" -t "$file#text"
    done
}

@test "a damaged file is one clear line, wherever it is cut or wrong" {
    local file size
    printf 'PAR1' >short.parquet
    refused 'short.parquet: is no Parquet file: it has 4 bytes' -t short.parquet
    for file in none snappy zstd-crc gzip-v2; do
        size=$(stat -c %s "$KEPT/$file.parquet")
        head -c $((size - 1)) "$KEPT/$file.parquet" >cut.parquet
        refused 'cut.parquet: is no Parquet file: it does not end in PAR1' -t cut.parquet
        # The middle is missing: the footer names bytes that are not there.
        { head -c 100 "$KEPT/$file.parquet" && tail -c $((size - 600)) "$KEPT/$file.parquet"; } >cut.parquet
        refused 'cut.parquet: ' -t cut.parquet
    done
    { head -c 400 "$KEPT/zstd-crc.parquet" && printf '\377\377' && tail -c +403 "$KEPT/zstd-crc.parquet"; } >wrong.parquet
    refused "is damaged: its CRC-32 is another" -t wrong.parquet
    sed '$s/PAR1$/PARE/' "$KEPT/none.parquet" >hidden.parquet
    refused 'is an encrypted Parquet file' -t hidden.parquet
}
