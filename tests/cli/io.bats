# What tools may do to files: never write into one that is not their output, never replace
# an input, leave nothing half done behind.
load common

setup_file() {
    load common
    cd "$BATS_FILE_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5
    "$ANALYZE" run.h5 -o run.json
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    cp "$BATS_FILE_TMPDIR/run.json" .
    RUN=$BATS_FILE_TMPDIR/run.h5
}

# refused STATUS TEXT COMMAND...: it ends so, with one line that holds the text.
refused() {
    local expected=$1 text=$2
    shift 2
    run "$@"
    echo "$* -> $status: $output"
    [ "$status" -eq "$expected" ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"$text"* ]]
}

@test "descriptors that come closed are not taken by files" {
    "$EXTRACT" "$PLANTED" --ids "$IDS" -o a.h5 2>&- > name
    [ "$(cat name)" = a.h5 ]
    same_run a.h5 "$RUN"
    "$EXTRACT" "$PLANTED" --ids "$IDS" -o b.h5 2>&- <&- > name
    same_run b.h5 "$RUN"
    "$ANALYZE" --threads 2 a.h5 -o a.json <&- 2>&-
    "$PYTHON" -c 'import json; json.load(open("a.json"))'
    "$REPORT" -f html a.json -o a.html 2>&- <&-
    [ "$(tail -n 1 a.html)" = '</html>' ]
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o c.h5 <&- >&- 2>&-
    same_run c.h5 "$RUN"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o c.h5 --resume <&- >&- 2>&-
    "$ANALYZE" c.h5 -o c.json <&- >&- 2>&-
    "$REPORT" c.json -o c.md <&- >&- 2>&-
    [ "$(wc -l < c.md)" -gt 10 ]
    # What would be lost is an error, and before the work.
    for command in "$ANALYZE a.h5" "$REPORT a.json" \
        "$EXTRACT --help" "$ANALYZE --version" "$REPORT --figure help" \
        "$EXTRACT --tokenize --ids $IDS $PLANTED"; do
        status=0
        $command >&- 2> err || status=$?
        echo "$command: $status"
        [ "$status" -eq 1 ]
        grep -q 'standard output' err
    done
    status=0
    "$ANALYZE" <&- 2> err || status=$?
    [ "$status" -eq 1 ]
    grep -q 'standard input cannot be read' err
}

@test "no output replaces an input, by whatever name" {
    cp "$RUN" run.h5
    cp "$IDS" ids.txt
    cp -r "$DEMO" model
    cp "$RUN" model/earlier.h5
    head -c 3000 "$HELDOUT" > text.txt
    ln -s run.h5 link.h5
    ln run.json hard.json
    find . -type f -exec sha256sum {} + | sort > before
    refused 1 'run.h5: is also an input' "$ANALYZE" run.h5 -o run.h5
    refused 1 'link.h5: is also an input' "$ANALYZE" run.h5 -o link.h5
    refused 1 'run.h5: is also an input' "$ANALYZE" run.h5 -o out.json --imatrix ./run.h5
    refused 1 'also an input' sh -c "'$ANALYZE' run.h5 >> run.h5"
    refused 1 'run.json: is also an input' "$REPORT" run.json -o run.json
    refused 1 'hard.json: is also an input' "$REPORT" run.json -o hard.json
    refused 1 'also an input, standard input' sh -c "'$REPORT' -o run.json < run.json"
    refused 1 'also an input' sh -c "'$REPORT' run.json >> run.json"
    printf 'run.h5\n' > list
    refused 1 'list: is also an input, standard input' sh -c "'$ANALYZE' -o list < list"
    [ "$(cat list)" = run.h5 ]
    rm list
    refused 1 'run.json: is also an input' \
        "$EXTRACT" -q --ablate-from run.json --ids ids.txt "$PLANTED" -o run.json
    for input in ids.txt model/config.json model/model.safetensors model/tokenizer.json \
        model/tokenizer_config.json model/README.md; do
        refused 1 "$input: is also an input" "$EXTRACT" -q model --ids ids.txt -o $input
    done
    refused 1 'text.txt: is also an input' "$EXTRACT" -q model -t text.txt -n 1 -l 8 -o text.txt
    refused 1 'also an input, standard input' \
        sh -c "'$EXTRACT' -q model -t - -n 1 -l 8 -o text.txt < text.txt"
    refused 1 'also an input' sh -c "'$EXTRACT' --tokenize -t text.txt model >> text.txt"
    cp text.txt x.partial.state
    refused 1 'x.partial.state: is also an input' \
        "$EXTRACT" -q model -t x.partial.state -n 1 -l 8 -o x
    rm x.partial.state
    refused 1 'also an input' sh -c "'$EXTRACT' -q model --ids ids.txt -o out.h5 >> ids.txt"
    refused 1 'also an input' sh -c "'$EXTRACT' --plan model >> model/config.json"
    # A recording in the model's directory is none of its files.
    "$EXTRACT" -q model --ids ids.txt -o model/earlier.h5
    cp "$RUN" model/earlier.h5
    find . -type f ! -name before -exec sha256sum {} + | sort | cmp - <(grep -v ' ./before' before)
}

@test "devices and FIFOs are written into or refused, directories before the run" {
    mkdir directory
    mkfifo fifo
    "$ANALYZE" "$RUN" -o /dev/null
    "$REPORT" run.json -o /dev/null
    [ -c /dev/null ]
    if mknod null c 1 3 2>/dev/null; then
        "$REPORT" run.json -o null
        [ -c null ]
        refused 1 'null: is a character device' "$EXTRACT" "$PLANTED" --ids "$IDS" -o null
        [ -c null ]
    fi
    "$REPORT" run.json > report.md
    "$REPORT" run.json -o fifo &
    cmp fifo report.md
    wait $!
    [ -p fifo ]
    "$REPORT" run.json -o /dev/stdout | cmp - report.md
    refused 1 'fifo: is a FIFO' "$EXTRACT" "$PLANTED" --ids "$IDS" -o fifo
    for tool in "$EXTRACT $PLANTED --ids $IDS" "$ANALYZE $RUN" "$ANALYZE $RUN --imatrix directory" \
        "$REPORT run.json"; do
        refused 1 'directory: is a directory' $tool -o directory
        refused 1 'none/: names a directory' ${tool/imatrix directory/threads 1} -o none/
        refused 1 'none/x: cannot create: No such file' ${tool/imatrix directory/threads 1} -o none/x
        refused 2 'the name is empty' ${tool/imatrix directory/threads 1} -o ''
    done
    # Before the run: not even the model is looked at.
    refused 1 'directory: is a directory' "$EXTRACT" nowhere --ids nothing -o directory
    name=$(printf 'x%.0s' $(seq 250))
    refused 1 'the name has 250 bytes' "$REPORT" run.json -o "$name"
    refused 1 'the name has 250 bytes' "$EXTRACT" "$PLANTED" --ids "$IDS" -o "$name"
}

@test "a symbolic link is followed, and the mode of a file is kept" {
    mkdir links files
    ln -s ../files/run.h5 links/run.h5
    ln -s "$PWD/links/run.md" links/first.md
    ln -s ../files/run.md links/run.md
    for round in 1 2; do
        [ "$("$EXTRACT" -q "$PLANTED" --ids "$IDS" -o links/run.h5)" = links/run.h5 ]
        "$REPORT" run.json -o links/first.md
        [ -L links/run.h5 ]
        [ -L links/run.md ]
        [ -L links/first.md ]
        [ "$(ls files | tr '\n' ' ')" = 'run.h5 run.md ' ]
        [ "$(ls links | wc -l)" -eq 3 ]
        [ "$round" -eq 1 ] || [ "$(stat -c %a files/* | tr '\n' ' ')" = '640 640 ' ]
        chmod 640 files/*
    done
    # Also while the file is not whole.
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 16 -l 512 --threads 1 -o links/run.h5 > /dev/null &
    pid=$!
    while [ ! -e files/run.h5.partial.state ]; do sleep 0.005; done
    kill -STOP $pid
    sleep 0.02
    modes=$(stat -c %a files/run.h5.partial files/run.h5.partial.state | sort -u)
    kill -KILL $pid
    wait $pid || true
    [ "$modes" = 640 ]
    ln -s loop loop
    refused 1 'loop: cannot create' "$REPORT" run.json -o loop
    chmod 444 files/run.md
    if [ "$(id -u)" -ne 0 ]; then
        refused 1 'cannot be written' "$REPORT" run.json -o files/run.md
    fi
}

@test "two that write one output at once leave one whole file" {
    "$REPORT" -f html run.json > one.html
    "$REPORT" run.json > one.md
    for round in 1 2 3 4 5; do
        "$REPORT" -f html run.json -o both &
        "$REPORT" run.json -o both
        wait $!
        cmp both one.html || cmp both one.md
        [ "$(ls | tr '\n' ' ')" = 'both one.html one.md run.json ' ]
    done
}

@test "a finished run is not computed again" {
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --perplexity
    before=$(stat -c '%i %Y' run.h5)
    run "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.h5 --perplexity --resume
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = 'ol-extract: run.h5: already complete' ]
    [ "${lines[1]}" = run.h5 ]
    [ "$("$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5 --perplexity --resume)" = run.h5 ]
    another='is complete, but belongs to another run, its'
    refused 1 "run.h5: $another choice of --perplexity differs" \
        "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.h5 --resume
    refused 1 "run.h5: $another precision differs" \
        "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.h5 --perplexity --precision f32 --resume
    while IFS='|' read -r options what; do
        # shellcheck disable=SC2086 # several words
        refused 1 "run.h5: $another $what differs" \
            "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.h5 --perplexity $options --resume
    done <<'END'
--layers 0-2|choice of --layers
--sites ln_mlp|choice of --sites
--store none|choice of --store
--store f32|choice of --store
--imatrix|choice of --imatrix
--threshold 5|--threshold
--no-summaries|choice of summaries
--ablate zero:1|choice of --ablate
-n 2|text_sha256
END
    refused 1 'run.json' "$EXTRACT" "$PLANTED" --ids "$IDS" -o run.json --resume
    [ "$(stat -c '%i %Y' run.h5)" = "$before" ]
    [ "$(ls | tr '\n' ' ')" = 'run.h5 run.json ' ]
    # Without --resume it is begun anew.
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5
    [ "$(stat -c '%i %Y' run.h5)" != "$before" ]
}

@test "what is printed of a file's name does not act on a terminal" {
    name=$'a\e[31m\xe2\x80\xaeb.h5'
    # A pipe gets the name as it is.
    [ "$("$EXTRACT" -q "$PLANTED" --ids "$IDS" -o "$name")" = "$name" ]
    run "$ANALYZE" --verify "$name"
    [[ $output == 'a\x1b[31m\u202eb.h5: intact by '* ]]
    rm "$name"
    run "$PYTHON" -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' \
        "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o "$name"
    [ "$status" -eq 0 ]
    [[ $output == 'a\x1b[31m\u202eb.h5'* ]]
}

@test "other weights of the same shapes are another run" {
    cp -r "$PLANTED" model
    "$EXTRACT" -q model --ids "$IDS" -o run.h5
    # As a training that goes on, and saves over its last checkpoint.
    "$PYTHON" - <<'PY'
import json, struct
with open("model/model.safetensors", "rb") as f:
    data = bytearray(f.read())
start = 8 + struct.unpack("<Q", data[:8])[0]
tensors = json.loads(data[8:start])
name = sorted(n for n in tensors if n.endswith("q_proj.weight"))[0]
first, end = (start + offset for offset in tensors[name]["data_offsets"])
for i in range(first + 1, end, 2):
    data[i] ^= 0x80
with open("model/model.safetensors", "wb") as f:
    f.write(data)
PY
    refused 1 'run.h5: is complete, but belongs to another run, its weights_sha256 differs' \
        "$EXTRACT" model --ids "$IDS" -o run.h5 --resume
    "$EXTRACT" -q model --ids "$IDS" -o other.h5
    "$ANALYZE" run.h5 > a.json
    "$ANALYZE" other.h5 > b.json
    "$REPORT" diff a.json b.json | grep -q 'different models, as their weights differ'
}

@test "a FIFO is waited for only where a stream is meant" {
    for file in config.json model.safetensors.index.json model.safetensors tokenizer.json; do
        rm -rf model
        cp -r "$DEMO" model
        rm -f model/$file
        mkfifo model/$file
        refused 1 "model/$file: is a FIFO, expected a regular file" \
            timeout 20 "$EXTRACT" -q model -t "$HELDOUT" -n 1 -l 8 -o out.h5
    done
    rm -r model
    mkfifo run.fifo
    refused 1 'run.fifo: is a FIFO, expected a regular file' timeout 20 "$ANALYZE" run.fifo
    mkdir directory
    refused 1 'directory: is a directory' "$REPORT" directory
    refused 1 'directory: is a directory' "$EXTRACT" "$DEMO" -t directory -n 1 -l 8 -o out.h5
    "$REPORT" run.json > report.md
    "$REPORT" <(cat run.json) | cmp - report.md
    "$EXTRACT" --tokenize -t <(head -c 2000 "$HELDOUT") "$DEMO" > a
    "$EXTRACT" --tokenize --ids <(cat a) "$DEMO" | cmp - a
}

# A converter that sends the tool a signal while its output is open.
converter() {
    mkdir -p bin
    printf '#!/bin/sh\nkill -%s $PPID\nsleep 0.2\n' "$1" > bin/rsvg-convert
    chmod +x bin/rsvg-convert
}

@test "temporary files are removed after signals, a file size limit and out of memory" {
    echo old > figure.png
    for signal in TERM INT HUP QUIT ABRT; do
        converter $signal
        status=0
        (ulimit -c 0; PATH=$PWD/bin:$PATH exec "$REPORT" -f png --figure features run.json -o figure.png) \
            2>err || status=$?
        echo "$signal: $status"
        [ "$status" -eq $((128 + $(kill -l $signal))) ]
        [ "$(ls | tr '\n' ' ')" = 'bin err figure.png run.json ' ]
    done
    # What is ignored stays ignored: a report under nohup survives.
    converter HUP
    (trap '' HUP; PATH=$PWD/bin:$PATH exec "$REPORT" -f png --figure features run.json -o figure.png)
    echo old > figure.png
    for command in "$ANALYZE $RUN -o x" "$REPORT -f html run.json -o x"; do
        status=0
        (ulimit -f 4; exec $command) 2> err || status=$?
        [ "$status" -eq 1 ]
        grep -q 'x: cannot be written: File too large' err
        [ ! -e x ]
        [ "$(ls | wc -l)" -eq 4 ]
    done
    if ! sanitized; then
        failed=0
        for kib in $(seq 3600 150 8000); do
            (ulimit -v $kib; "$REPORT" -f html run.json -o x) 2> err || failed=$((failed + 1))
            rm -f x
            [ "$(ls | tr '\n' ' ')" = 'bin err figure.png run.json ' ]
        done
        [ "$failed" -gt 0 ]
    fi
}

# What is converted is written to a temporary file first.
@test "what is half written is not converted" {
    sanitized && skip "the shim is no sanitizer's"
    command -v rsvg-convert > /dev/null || skip "rsvg-convert is not installed"
    for at in 1 50 200; do
        refused 1 'ol-report: the temporary file of what is converted cannot be written whole' \
            env FAULT_CALL=fwrite FAULT_AT=$at FAULT_ERROR=ENOSPC LD_PRELOAD="$TOOLS/tests/fault.so" \
            "$REPORT" -f png --figure features run.json -o x.png
        [ "$(ls)" = run.json ]
    done
}

# A browser that is killed with what started it, and has left something in its folder.
@test "the folder of a page that is printed goes with the process, and so does the browser" {
    mkdir bin tmp
    cat > bin/chromium <<'SH'
#!/bin/bash
for word; do
    case $word in --user-data-dir=*) mkdir -p "${word#*=}/deep" && echo x > "${word#*=}/deep/file" ;; esac
done
echo $$ > "$WHERE/browser"
kill -$SIGNAL $PPID
sleep 30
SH
    chmod +x bin/chromium
    export WHERE=$PWD
    for signal in TERM INT HUP; do
        status=0
        (ulimit -c 0; SIGNAL=$signal TMPDIR=$PWD/tmp PATH=$PWD/bin:$PATH \
            exec "$REPORT" -f pdf run.json -o x.pdf) 2> err || status=$?
        echo "$signal: $status"
        [ "$status" -eq $((128 + $(kill -l $signal))) ]
        [ "$(ls tmp | wc -l)" -eq 0 ]
        [ "$(ls | tr '\n' ' ')" = 'bin browser err run.json tmp ' ]
        not kill -0 "$(cat browser)"
    done
}

# A file that is being made has no name, where the file system can do that: what cannot be
# caught leaves nothing, or once, over a file that is there, a whole one.
@test "a kill leaves nothing of an output, or beside an older one a whole file" {
    sanitized && skip "the shim is no sanitizer's"
    killed() { # CALL COMMAND...
        local call=$1
        shift
        status=0
        (ulimit -c 0; FAULT_CALL=$call FAULT_AT=1 FAULT_ERROR=KILL LD_PRELOAD=$TOOLS/tests/fault.so exec "$@") 2> err || status=$?
        echo "$call, $*: $status"
        [ "$status" -eq 137 ]
    }
    "$REPORT" run.json > calm.md
    "$ANALYZE" "$RUN" > calm.json
    for call in fsync linkat; do
        rm -f x
        killed $call "$ANALYZE" "$RUN" -o x
        killed $call "$REPORT" run.json -o x
        [ "$(ls | tr '\n' ' ')" = 'calm.json calm.md err run.json ' ]
    done
    for call in fsync linkat rename; do
        echo old > x
        killed $call "$REPORT" run.json -o x
        [ "$(cat x)" = old ]
        [ $call = rename ] || [ "$(ls | tr '\n' ' ')" = 'calm.json calm.md err run.json x ' ]
    done
    cmp x.?????? calm.md
    rm x.??????
    # The name that is there is another's: the next is taken, and the file of that name left alone.
    "$REPORT" run.json -o x
    cmp x calm.md
    [ "$(ls | tr '\n' ' ')" = 'calm.json calm.md err run.json x ' ]
    # A file system without such files.
    chmod 640 x
    FAULT_CALL=nameless FAULT_AT=1 FAULT_ON_FROM=1 FAULT_ERROR=EPERM LD_PRELOAD=$TOOLS/tests/fault.so \
        "$REPORT" run.json -o x
    cmp x calm.md
    [ "$(stat -c %a x)" = 640 ]
    (umask 027; FAULT_CALL=nameless FAULT_AT=1 FAULT_ERROR=EPERM LD_PRELOAD=$TOOLS/tests/fault.so "$REPORT" run.json -o y)
    (umask 027; "$REPORT" run.json -o z)
    [ "$(stat -c '%a %s' y)" = "$(stat -c '%a %s' z)" ]
    [ "$(stat -c %a z)" = 640 ]
}

@test "messages cannot command a terminal" {
    names=("$(printf 'a\033]0;x\007b')" "$(printf 'c\302\2332Jd')" "$(printf 'e\342\200\256f')" \
        "$(printf 'g\xffh')" "$(printf 'i\nj\tk')" "$(printf 'l\177m')")
    shown=('a\x1b]0;x\x07b' 'c\x9b2Jd' 'e\u202ef' 'g\xffh' 'i\nj\tk' 'l\x7fm')
    for i in "${!names[@]}"; do
        refused 1 "ol-analyze: ${shown[i]}: cannot open" "$ANALYZE" "${names[i]}"
        refused 1 "ol-report: ${shown[i]}: cannot open" "$REPORT" "${names[i]}"
        refused 1 "ol-extract: ${shown[i]}: cannot be opened" "$EXTRACT" --ids "$IDS" "${names[i]}"
        refused 2 "unknown option '--z${shown[i]}'" "$EXTRACT" "--z${names[i]}"
    done
    # Tokens and keys of other people's files; what is harmless is shown as it is.
    cp -r "$DEMO" model
    "$PYTHON" - <<'PY'
import json
t = json.load(open("model/tokenizer.json"))
t["model"]["unk_token"] = "\x1b[31mé中\u202e"
json.dump(t, open("model/tokenizer.json", "w"))
PY
    refused 1 'unk_token "\x1b[31mé中\u202e" is not in' "$EXTRACT" --tokenize -t "$HELDOUT" model
}

@test "what is written on a full device is an error, --help and --version too" {
    for command in "$EXTRACT --help" "$EXTRACT --version" "$ANALYZE --help" "$ANALYZE --version" \
        "$REPORT --help" "$REPORT --version" "$REPORT --figure help" "$REPORT --table help" \
        "$EXTRACT --plan $PLANTED" "$EXTRACT --tokenize --ids $IDS $PLANTED" \
        "$ANALYZE $RUN" "$REPORT run.json" "$REPORT -f html run.json"; do
        refused 1 'No space left on device' sh -c "$command > /dev/full"
    done
}

@test "what the command line alone shows to be wrong is a usage error" {
    for options in '--layers a' '--layers 3-1' '--layers 0,,1' '--layers 0-' '--layers -1' \
        "--layers 99999999999999999999" '--sites ln' '--sites ln_attn,' '--devices a' \
        '--devices 0,0' '--devices 0 --backend cpu' '--devices 0,1,' '--memory 0' '--memory 1' \
        '--memory -1G' '--memory inf' '--memory 0x10G' '--memory 8Q' '--threads 0' \
        '--threads 1e3' '-n 0' '-n 1000000000 -l 100000000' '-l -5' '--threshold nan' \
        '--threshold 0' '--store half' '--bos yes' '--windowing all' '--precision f16' \
        '--backend gpu' '--output -' '--output out.h5' '--ablate a' '--ablate zero:' '--ablate zero:1,' \
        '--ablate drop:1' '--ablate first+' '--ablate first:1'; do
        refused 2 "(try 'ol-extract --help')" "$EXTRACT" nowhere --plan $options
    done
    for option in --output --text --ids --ablate-from --status --tmpdir; do
        refused 2 "$option: the name is empty" "$EXTRACT" nowhere $option ''
    done
    for option in --output --imatrix; do
        refused 2 "$option: the name is empty" "$ANALYZE" nowhere $option ''
    done
    refused 2 '--output: the name is empty' "$REPORT" nowhere --output ''
    refused 2 '--tokenize writes to standard output' \
        "$EXTRACT" nowhere --tokenize --ids nothing -o ids.txt
    for options in '--threads x' '--batch-size 0' '--batch-size 1.5' '--min-layers 2' \
        '--min-positions 0' '--threshold inf' '--statistics none' '--statistics sites,' \
        '--imatrix x --statistics sites' '--imatrix x --summaries' '--colour' \
        '--verify --imatrix x' '--verify --output x' '--verify --statistics sites'; do
        refused 2 "(try 'ol-analyze --help')" "$ANALYZE" nowhere $options
    done
    for options in '--top 0' '--top x' '-f docx' '-f svg' '-f svg --figure none' '--figure features' \
        '--table none -f csv' '--table sites' 'diff' '--top'; do
        refused 2 "(try 'ol-report --help')" "$REPORT" $options
    done
}

@test "devices that are named are used, or it fails" {
    if "$EXTRACT" --version | grep -q 'built without CUDA'; then
        refused 1 'built without CUDA' "$EXTRACT" "$PLANTED" --ids "$IDS" --devices 0 -o out.h5
        refused 1 'built without CUDA' "$EXTRACT" "$PLANTED" --plan --devices 0
    fi
    refused 2 '--devices names CUDA devices, --backend is cpu' \
        "$EXTRACT" "$PLANTED" --ids "$IDS" --devices 0 --backend cpu -o out.h5
}

@test "a plan of more than can be counted is refused, and a large one is right" {
    refused 2 'at most 2147483647 tokens' "$EXTRACT" --plan -n 1000000000 -l 100000000 "$PLANTED"
    "$EXTRACT" --plan -n 1000000000 -l 2 --memory 900000T "$PLANTED" > large.json
    "$EXTRACT" --plan -n 1000 -l 2 --memory 900000T "$PLANTED" > small.json
    "$PYTHON" - <<'PY'
import json
large, small = json.load(open("large.json"))["run"], json.load(open("small.json"))["run"]
assert large["flops"] == 1e6 * small["flops"]
assert 0.99e6 * small["disk_bytes"] < large["disk_bytes"] * 2 and large["disk_bytes"] > 0
PY
}

@test "the progress line fits the terminal, whatever its width" {
    "$PYTHON" -c 'import pty; pty.openpty()' 2>/dev/null || skip "there are no pseudo-terminals"
    for columns in 200 80 60 40 24 12 3; do
        "$PYTHON" "$TESTS/tools/terminal.py" $columns "$EXTRACT" "$DEMO" -t "$HELDOUT" -n 16 \
            -l 512 --perplexity -o run.h5 > lines
        echo "$columns: $(tail -n 1 lines)"
        [ "$(wc -l < lines)" -ge 1 ]
        awk -v columns=$columns 'length($0) >= columns { print; long = 1 } END { exit long }' lines
        [ "$columns" -lt 24 ] || grep -q 'layer [1-6]/6  *[0-9]* %' lines
        [ "$columns" -lt 60 ] || grep -q '[0-9]:[0-9][0-9] left' lines
        [ "$columns" -lt 200 ] || grep -q 'tokens/s .* GB read.* memory .*waits: disk' lines
    done
}

@test "--verbose says what is done, and changes nothing else" {
    "$EXTRACT" -v "$DEMO" -t "$HELDOUT" -n 2 -l 60 -o run.h5 > name 2> said
    [ "$(cat name)" = run.h5 ]
    grep -q '^ol-extract: demo: qwen3_moe of 6 layers, 128 dimensions, 16 experts (top 2)' said
    grep -q '2 sequences, 120 tokens' said
    grep -q '^ol-extract: memory: ' said
    [ "$(grep -c '^ol-extract: layer [0-5]: [0-9.]* s' said)" -eq 6 ]
    "$ANALYZE" -v run.h5 -o a.json 2> said
    grep -q '^ol-analyze: run.h5: demo in bf16' said
    grep -q '^ol-analyze: statistic llm_int8$' said
    "$REPORT" -v a.json > a.md 2> said
    grep -q '^ol-report: a.json: demo in bf16' said
    "$REPORT" a.json 2> said | cmp - a.md
    [ ! -s said ]
}

@test "--imatrix with --output writes both, and counts the experts without tokens" {
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 1 -l 12 --imatrix -o run.h5
    "$ANALYZE" run.h5 --imatrix a.gguf -o a.json 2> said
    "$ANALYZE" run.h5 --imatrix - 2> also | cmp - a.gguf
    cmp said also
    [ "$(head -c 4 a.gguf)" = GGUF ]
    "$PYTHON" - <<'PY'
import json, re
unused = {l["layer"]: [e for e, n in enumerate(l["tokens"]) if n == 0]
          for l in json.load(open("a.json"))["router"]["layers"]}
said = open("said").read()
n = sum(map(len, unused.values()))
assert n > 0 and f"{n} of {6 * 16} experts have no tokens" in said, said
found = {}
for layer, text in re.findall(r"layer (\d+): ([0-9, -]+)", said):
    for part in text.split(", "):
        first, _, last = part.partition("-")
        found.setdefault(int(layer), []).extend(range(int(first), int(last or first) + 1))
assert found == {l: e for l, e in unused.items() if e}, (found, unused)
PY
    refused 1 'are one file' "$ANALYZE" run.h5 --imatrix b.gguf -o ./b.gguf
    refused 1 'are one file' "$ANALYZE" run.h5 --imatrix - -o -
    [ ! -e b.gguf ]
}

# Nested groups of version 1, where this process may make some; test_cgroup has the others.
@test "control groups limit the default budgets" {
    group=/sys/fs/cgroup/memory/ol-test-$$
    [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] || skip "no control groups of version 1"
    mkdir -p $group/inner 2>/dev/null || skip "no right to make a control group"
    echo 300M > $group/memory.limit_in_bytes
    run bash -c "echo \$BASHPID > $group/inner/cgroup.procs &&
        '$EXTRACT' --plan '$DEMO' -n 2000 -l 200"
    rmdir $group/inner $group
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output =~ free\ memory\ of\ 2[0-9][0-9]\ MiB\ cannot\ hold ]]
}
