# What texts come as, and what is said of those that are none.
load common

setup() {
    cd "$BATS_TEST_TMPDIR"
    printf 'Hello world, it was a pleasant day.' > text
    "$EXTRACT" --tokenize -t text "$DEMO" > ids
    printf '{"text":"Hello world, it was a pleasant day."}\n' > line
}

# Ids of a text, one line per document.
tokenize() { "$EXTRACT" --tokenize "$@" "$DEMO"; }

# The one message that a text gets; nothing else comes.
refused() {
    run --separate-stderr "$EXTRACT" --tokenize "$@" "$DEMO"
    [ "$status" -eq 1 ]
    [ "${#stderr_lines[@]}" -eq 1 ]
    [ "$output" = '' ]
    message=$stderr
}

@test "names and --text-field say that lines are JSON" {
    bats_require_minimum_version 1.5.0
    for name in t.jsonl t.ndjson t.json T.JSONL; do
        cp line "$name"
        tokenize -t "$name" | cmp - ids
        gzip -k "$name"
        tokenize -t "$name.gz" | cmp - ids
        zstd -q "$name" -o "$name.zst"
        tokenize -t "$name.zst" | cmp - ids
    done
    cp line plainly.named
    tokenize -t plainly.named --text-field text | cmp - ids
    tokenize -t - --text-field text < line | cmp - ids
    tokenize -t <(cat line) --text-field text | cmp - ids
    # Not compressed at all, whatever the name says.
    cp line not.jsonl.gz
    tokenize -t not.jsonl.gz | cmp - ids
}

@test "a text that begins with JSON and was not said to be any is refused" {
    bats_require_minimum_version 1.5.0
    cp line t
    refused -t t
    [[ $message == *'t: begins with a JSON object: give --text-field KEY'*'(it has "text")'* ]]
    refused -t - < line
    [[ $message == *'standard input: begins with a JSON object'* ]]
    printf '{\n  "meta": {"url": "u"},\n  "n": [1],\n  "body": "x"\n}\n' > pretty
    refused -t pretty
    [[ $message == *'"meta.url", "body"'* ]]
    refused -t pretty --text-field body
    [[ $message == *'line 1: no JSON: the object does not end on its line'*'jq -c .'* ]]
    printf '[{"text":"a"},\n{"text":"b"}]\n' > array
    for options in '-t array' '-t array --text-field text'; do
        refused $options
        [[ $message == *'array: is a JSON array'*"jq -c '.[]'"* ]]
    done
    # A long first line, of which only the beginning is looked at.
    "$PYTHON" -c 'print("{\"text\": \"" + "a" * 300000 + "\"}")' > long
    refused -t long
    [[ $message == *'begins with a JSON object'* ]]
    # Read as it is when one says so, and when it only looks like it.
    [ "$(tokenize -t array --text-field '' | wc -l)" -eq 1 ]
    cp array array.json
    [ "$(tokenize -t array.json --text-field '' | wc -l)" -eq 1 ]
    for prose in '{\rtf1 hello' '[1] A note' '[Illustration]' '["Hello," he said' '{} ' '{"a b"} c'; do
        printf '%s\n' "$prose" > prose
        [ "$(tokenize -t prose | wc -l)" -eq 1 ]
    done
}

@test "JSON as Python writes it is read" {
    bats_require_minimum_version 1.5.0
    cat > t.jsonl <<'JSON'
{"score": NaN, "low": -Infinity, "high": Infinity, "id": 123456789012345678901234567890, "x": 1e999, "text": "Hello world, it was a pleasant day."}
{"text": "another", "text": "Hello world, it was a pleasant day."}

   
{"a": {"text": 1}, "l": [{"text": 2}], "text": "\u0048ello world, it was a pleasant day."}
JSON
    printf '{"text":"Hello world, it was a pleasant day."}\r\n\r\n' >> t.jsonl
    printf '{"text":"Hello world, it was a pleasant day."}' >> t.jsonl
    tokenize -t t.jsonl > got
    for i in 1 2 3 4 5; do cat ids; done | cmp - got
    # Keys of nested objects, and keys with dots.
    printf '{"data":{"text":"Hello world, it was a pleasant day."},"text":"no"}\n{"data.text":"Hello world, it was a pleasant day."}\n' > nested.jsonl
    tokenize -t nested.jsonl --text-field data.text > got
    cat ids ids | cmp - got
    # Depth has an end, and what stands behind an object is an error.
    "$PYTHON" -c 'print("{\"a\": " + "[" * 600 + "]" * 600 + ", \"text\": \"x\"}")' > deep.jsonl
    refused -t deep.jsonl
    [[ $message == *'deep.jsonl: line 1: no JSON: expected no value nested so deeply'* ]]
    printf '{"text":"a"} {"text":"b"}\n' > two.jsonl
    refused -t two.jsonl
    [[ $message == *'line 1: no JSON: expected the end of the line at byte 14'* ]]
    for bad in '{"text":"a}' '{"text" "a"}' '{"text":"a",}' "{'text':'a'}" '{"text":"\x"}' '{"text":01}' '{"text":"a"' '{"text":-}' 'nulls'; do
        printf '{"text":"a"}\n%s\n' "$bad" > bad.jsonl
        run --separate-stderr tokenize -t bad.jsonl
        [ "$status" -eq 1 ]
        [[ $stderr == *'bad.jsonl: line 2: no JSON: '* ]]
    done
}

@test "a missing field names the keys that there are" {
    bats_require_minimum_version 1.5.0
    printf '{"text":"a"}\n{"content":"x","n":1,"meta":{"url":"u","tags":["t"]}}\n' > t.jsonl
    run --separate-stderr tokenize -t t.jsonl
    [ "$status" -eq 1 ]
    [[ $stderr == *'t.jsonl: line 2: there is no "text"; texts are under "content", "meta.url" (--text-field)' ]]
    printf '{"n":1}\n' > t.jsonl
    refused -t t.jsonl
    [[ $message == *'there is no "text"; no key has a text'* ]]
}

@test "lone surrogates become U+FFFD, said once" {
    bats_require_minimum_version 1.5.0
    printf '{"text":"a\\ud83db \\udc00"}\n{"text":"\\ud83d\\ude00"}\n{"text":"\\ud83d\\ud83d\\ude00"}\n' > t.jsonl
    run --separate-stderr tokenize -t t.jsonl
    [ "$status" -eq 0 ]
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ $stderr == *': 3 became U+FFFD' ]]
    printf 'a\xef\xbf\xbdb \xef\xbf\xbd' > one
    printf '\xf0\x9f\x98\x80' > two
    printf '\xef\xbf\xbd\xf0\x9f\x98\x80' > three
    cat <(tokenize -t one) <(tokenize -t two) <(tokenize -t three) > expected
    printf '%s\n' "$output" | cmp - expected
}

@test "a byte order mark is no part of the text" {
    for form in text line; do
        printf '\xef\xbb\xbf' | cat - "$form" > marked
        if [ "$form" = line ]; then set -- --text-field text; else set --; fi
        tokenize -t marked "$@" | cmp - ids
        gzip -kf marked
        tokenize -t marked.gz "$@" | cmp - ids
    done
    # Files that were joined keep theirs.
    cat marked marked > both.jsonl
    tokenize -t both.jsonl > got
    cat ids ids | cmp - got
    printf '\xef\xbb\xbf1 2 3\n' > marked
    [ "$(tokenize --ids marked)" = '1 2 3' ]
}

@test "gzip in members, padded with NULs; zstd with frames that are skipped" {
    bats_require_minimum_version 1.5.0
    for i in 1 2; do gzip < line; done > two.jsonl.gz
    cat ids ids > both
    tokenize -t two.jsonl.gz | cmp - both
    (gzip < line; head -c 4096 /dev/zero; gzip < line; head -c 100000 /dev/zero) > padded.jsonl.gz
    tokenize -t padded.jsonl.gz | cmp - both
    (gzip < line; echo and more) > more.jsonl.gz
    run --separate-stderr tokenize -t more.jsonl.gz
    [ "$status" -eq 1 ]
    [[ $stderr == *'more.jsonl.gz: there is something behind the gzip data that is none' ]]
    (printf '\x50\x2a\x4d\x18\x04\0\0\0abcd'; zstd -q < line; printf '\x5f\x2a\x4d\x18\0\0\0\0'; zstd -q --long=31 < line) > t.jsonl.zst
    tokenize -t t.jsonl.zst | cmp - both
}

@test "what is no text is named, with what to do" {
    bats_require_minimum_version 1.5.0
    said() { # BYTES TEXT
        printf "$1" > file
        refused -t file
        [[ $message == *"file: is $2"* ]]
    }
    said '\xfd7zXZ\x00\x00' 'compressed by xz; unpack it: `xz -dc file '
    said 'BZh91AY&SYabc' 'compressed by bzip2; unpack it: `bzip2 -dc file '
    said 'PK\x03\x04abc' 'a ZIP archive; '
    said '\x04\x22\x4d\x18abc' 'compressed by lz4; '
    said '%%PDF-1.7\n' 'a PDF document; '
    said '\xff\xfea\x00b\x00' 'text in UTF-16; convert it: `iconv -f UTF-16 -t UTF-8 file`'
    said '\xfe\xff\x00a\x00b' 'text in UTF-16; '
    said 'a\x00b\x00 \x00c\x00\n\x00' 'text in UTF-16LE; '
    said '\x00a\x00b\x00 \x00c\x00\n' 'text in UTF-16BE; '
    said '\xff\xfe\x00\x00a\x00\x00\x00' 'text in UTF-32; '
    said 'a\x00\x00\x00b\x00\x00\x00c\x00\x00\x00' 'text in UTF-32LE; '
    said 'version https://git-lfs.github.com/spec/v1\noid' 'a Git LFS pointer, not the file that it stands for; '
    # Inside what is unpacked too.
    tar -cf t.tar text
    gzip < t.tar > t.tar.gz
    refused -t t.tar.gz
    [[ $message == *'t.tar.gz: unpacked by gzip, it is a tar archive; after `gzip -dc t.tar.gz >FILE`, give a file out of it: '* ]]
    gzip < text | gzip > twice.gz
    refused -t twice.gz
    [[ $message == *'twice.gz: unpacked by gzip, it is compressed a second time by gzip; after `gzip -dc twice.gz >FILE`, give -t FILE' ]]
    # Ids as some shells write them.
    printf '\xff\xfe1\x00 \x002\x00' > ids.txt
    run --separate-stderr tokenize --ids ids.txt
    [ "$status" -eq 1 ]
    [[ $stderr == *'ids.txt: is text in UTF-16; '* ]]
    # From a pipe: no name to type.
    refused -t - < twice.gz
    [[ $message == *'standard input: unpacked by gzip, it is compressed a second time by gzip; give -t FILE' ]]
    # What is told to be typed does what is said, whatever the name.
    name="it's \$(date).txt"
    { printf '\xff\xfe'; iconv -f UTF-8 -t UTF-16LE text; } > "$name"
    refused -t "$name"
    [[ $message =~ \`(.*)\` ]]
    sh -c "${BASH_REMATCH[1]}" | cmp - text
    zstd -q < "$name" > "$name.zst"
    refused -t "$name.zst"
    [[ $message =~ \`(.*)\`.*\`(.*)\` ]]
    sh -c "${BASH_REMATCH[1]/FILE/plain}; ${BASH_REMATCH[2]/FILE/plain}" | cmp - text
    # NULs are no reason by themselves.
    printf 'a\x00b c d e f g h i j k l m n o p\x00' > nul
    [ "$(tokenize -t nul | wc -l)" -eq 1 ]
}

@test "a long text is read in pieces: the same ids, and no more of it than needed" {
    bats_require_minimum_version 1.5.0
    "$PYTHON" - "$HELDOUT" > long.txt <<'PY'
import sys
text = open(sys.argv[1], encoding="utf-8").read()
n = 0
while n < 2_600_000:
    print(text, "\u00e9\u4f60", n)
    n += len(text.encode())
PY
    "$PYTHON" -c "
import json
print(json.dumps({'text': open('long.txt', encoding='utf-8', newline='').read()}))" > long.jsonl
    tokenize -t long.txt > pieces
    tokenize -t long.jsonl | cmp - pieces
    for mode in contiguous reference; do
        tokenize --windowing $mode -n 3 -l 200 -t long.txt > windows
        tokenize --windowing $mode -n 3 -l 200 -t long.jsonl | cmp - windows
        # A text without an end.
        run timeout 60 bash -c "yes 'It is a truth' | '$EXTRACT' --tokenize --windowing $mode -n 3 -l 200 -t - '$DEMO'"
        [ "$status" -eq 0 ]
        [ "${#lines[@]}" -eq 3 ]
    done
    # A character on the edge of a piece, and one that is none there.
    "$PYTHON" -c "
import sys
sys.stdout.buffer.write(b'a' * ((1 << 20) - 1) + '\u20ac'.encode() + b' end')" > edge
    "$PYTHON" -c "
import sys
sys.stdout.buffer.write(b'a\n' * (1 << 19) + b'\xe2\x82' + b' end')" > broken
    [ "$(tokenize -t edge | wc -l)" -eq 1 ]
    run --separate-stderr tokenize -t broken
    [ "$status" -eq 1 ]
    [[ $stderr == *'broken: line 524289: byte 1048576 of the text is no valid UTF-8' ]]
}

# The demo model with a vocabulary of tiktoken's.
tiktoken_model() {
    rm -rf model && mkdir model
    cp "$DEMO/config.json" "$DEMO/model.safetensors" "$TESTS"/golden/tokenizers/kimi-k2/* model
}

@test "tiktoken.model is read where there is no tokenizer.json, and the report says so" {
    [ -n "$PYTHON" ] || skip "needs h5py"
    tiktoken_model
    "$PYTHON" - <<'PY'
import json
cases = json.load(open("model/cases.json"))["cases"]
open("t.jsonl", "w").writelines(json.dumps({"text": c["text"]}) + "\n" for c in cases)
open("expected", "w").writelines(" ".join(map(str, c["ids"])) + "\n" for c in cases)
PY
    "$EXTRACT" --tokenize -t t.jsonl model > got
    cmp got expected
    "$EXTRACT" -q -n 2 -l 40 -t "$HELDOUT" -o run.h5 model
    [ "$("$PYTHON" -c 'import h5py, hashlib; a = h5py.File("run.h5")["input"].attrs
print(a["tokenizer_file"], a["tokenizer_sha256"] == hashlib.sha256(open("model/tiktoken.model", "rb").read()).hexdigest())')" \
        = 'tiktoken.model True' ]
    "$ANALYZE" run.h5 > run.json
    "$REPORT" run.json | grep -q 'no BOS, ids by tiktoken.model'
    "$REPORT" -f html run.json | grep -q 'ids by tiktoken.model'
    # tokenizer.json comes first.
    cp "$DEMO/tokenizer.json" model
    "$EXTRACT" --tokenize -t text model | cmp - ids
}

@test "a tiktoken.model that is not understood is refused in one line" {
    bats_require_minimum_version 1.5.0
    without() { # EDIT-OF-FILES MESSAGE
        tiktoken_model
        (cd model && eval "$1")
        run --separate-stderr "$EXTRACT" --tokenize -t text model
        [ "$status" -eq 1 ]
        [ "${#stderr_lines[@]}" -eq 1 ]
        echo "$stderr"
        [[ $stderr == "ol-extract: model/"*"$2"* ]]
    }
    without 'sed -i s/TikTokenTokenizer/OtherTokenizer/g tokenizer_config.json' \
        'tokenizer_config.json: tokenizer_class "OtherTokenizer" is not known to read tiktoken.model by; known is TikTokenTokenizer'
    without 'rm tokenizer_config.json' 'tokenizer_config.json: '
    without 'sed -i "s/p{Han}\\]+/p{Hiragana}]+/" tokenization_kimi.py' \
        'tokenization_kimi.py: has another pattern than the known one of TikTokenTokenizer, with [\p{Han}]+'
    without 'sed -i "3s/.*/IQ== 2/" tiktoken.model' 'tiktoken.model: line 3: expected a token of 1 to 1024 bytes in base64'
    without 'sed -i "3s/.*/Iw= 2/" tiktoken.model' 'tiktoken.model: line 3: expected'
    without 'sed -i "3s/ 2/ 1/" tiktoken.model' 'tiktoken.model: line 3: expected'
    without 'sed -i "\$d; s/ 805$/ 806/" tiktoken.model' 'tiktoken.model: has 806 tokens and ranks up to 806: expected all from 0 on'
    without ': > tiktoken.model' 'tiktoken.model: has 0 tokens'
    without 'sed -i "3s/Iw==/YWFhYWFh/" tiktoken.model' 'tiktoken.model: has no token for the byte 0x23'
    without 'sed -i "s/\"807\"/\"806\"/" tokenizer_config.json' \
        'added_tokens_decoder: found the id "806", expected ids from 807 to 1062'
    without 'sed -i "s/\[EOS\]/[BOS]/" tokenizer_config.json' \
        'added_tokens_decoder: "[BOS]" of id 808 is empty, or a token of another id too'
    without 'printf "version https://git-lfs.github.com/spec/v1\noid" > tiktoken.model' 'tiktoken.model: this is a Git LFS pointer'
}
