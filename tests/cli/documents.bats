# What README, man pages and CONTRIBUTING say can be typed, and is where they say it is.
# Long: starts early.
load common

# The commands of a text: indented ones of Markdown, those in EXAMPLES of a man page.
commands_of() {
    case $1 in
    *.md) sed -nE 's/^    (ol-|make run|make survey)/\1/p' "$1" ;;
    *) sed -n '/^\.SH EXAMPLES/,/^\.SH S/p' "$1" | grep '^ol' | sed 's/\\-/-/g' ;;
    esac
}

# A directory in which everything is there that the examples name, and `make run` works.
setup() {
    cd "$BATS_TEST_TMPDIR"
    PATH=$TOOLS:$PATH
    for name in Makefile common extract analyze report tests data; do ln -s "$ROOT/$name" .; done
    # What is tested is built, and may be below a name that make cannot take.
    ln -s "$TOOLS" build
    HERE='make -o all B=build'
    RUN="$HERE run"
    mkdir Qwen org
    ln -s "$DEMO" MODEL
    ln -s "$DEMO" org/name
    ln -s "$DEMO" Qwen/Qwen3-30B-A3B
    ln -s "$HELDOUT" text.txt
}

results() {
    "$EXTRACT" -q "$DEMO" -t text.txt -n 1 -l 64 -o part1.h5
    tail -n 200 text.txt >end.txt
    "$EXTRACT" -q "$DEMO" -t end.txt -n 1 -l 64 -o part2.h5
    "$ANALYZE" part1.h5 -o qwen.json
    for name in olmoe mixtral base instruct a b; do cp qwen.json $name.json; done
}

@test "documents: every example that needs no network runs" {
    sanitized && skip "a matter of minutes under sanitizers"
    [ -n "$PYTHON" ] || skip "no Python with h5py"
    "$PYTHON" -c '
import json
for paragraph in open("text.txt").read().split("\n\n"):
    print(json.dumps({"text": paragraph}))' >fineweb.jsonl
    # As if that many of its documents had been fetched.
    export HF_HOME=$PWD/hf
    kept="hf/hub/datasets--HuggingFaceFW--fineweb-edu/ol-texts/87f09149ef4734204d70ed1d046ddc9ca3f2b8f9/sample/10BT/000_00000.parquet#text"
    mkdir -p "$kept"
    cp fineweb.jsonl "$kept/first-$(wc -l <fineweb.jsonl).$(sha256sum <fineweb.jsonl | cut -d' ' -f1).jsonl"
    results
    for text in README.md extract/ol-extract.1 analyze/ol-analyze.1 report/ol-report.1; do
        commands_of "$ROOT/$text" >commands
        [ "$(wc -l <commands)" -ge 5 ]
        while read -r command; do
            command=${command/#make/$HERE}
            echo "$text: $command"
            rm -f qwen.h5 MODEL.h5
            case $command in
            ol-analyze*) cp part1.h5 qwen.h5 ;;
            esac
            bash -eo pipefail -c "$command" >out 2>err </dev/null || { tail err; return 1; }
        done <commands
    done
    [ -s survey.html ]
    grep -q 'Outlier features of 6 models' runs/mock/survey.html
    [ ! -e runs/mock/failed.txt ]
    [ -s small.h5 ]
    # And the Python of the README, on the activations that an example recorded.
    "$EXTRACT" -q MODEL -t text.txt -n 1 -l 64 -o qwen.h5
    sed -n '/^```python/,/^```$/p' "$ROOT/README.md" | grep -v '^```' >read.py
    printf 'assert x.shape == (64, 128) and experts.shape == (64, 2)\n' >>read.py
    "$PYTHON" read.py
}

@test "documents: make run keeps what it made, in runs/, and extracts once" {
    mkdir "a place"
    ln -s "$DEMO" "a place/a model"
    $RUN MODEL="a place/a model/" N=1 L=64 >report.md 2>said
    grep -q '^# Outlier features of ' report.md
    grep -qx 'run: kept: runs/a model.h5, runs/a model.json' said
    ls -i --time-style=full-iso -l "runs/a model.h5" >before
    $RUN MODEL="a place/a model/" N=1 L=64 FORMAT=html >out 2>said
    grep -qx 'run: kept: runs/a model.h5, runs/a model.json, runs/a model.html' said
    grep -q '</html>' "runs/a model.html"
    ls -i --time-style=full-iso -l "runs/a model.h5" | diff before -
    # Another run does not take its place.
    status=0
    $RUN MODEL="a place/a model/" N=2 L=64 >out 2>said || status=$?
    [ "$status" -ne 0 ]
    grep -q 'OUT=another.h5' said
    ls -i --time-style=full-iso -l "runs/a model.h5" | diff before -
    $RUN MODEL="a place/a model/" N=2 L=64 OUT="runs/an other.h5" REPORT=page.html FORMAT=html
    [ -s "runs/an other.json" ]
    grep -q '</html>' page.html
}

@test "documents: make run tells wrong options before it begins" {
    local wrong
    for wrong in FORMAT=nonsense FORMAT=svg ANALYZE_OPTIONS=--treshold=4 ANALYZE_OPTIONS='--threshold 0'; do
        status=0
        $RUN OUT=new.h5 "$wrong" >out 2>said || status=$?
        cat said
        [ "$status" -ne 0 ]
        grep -qE "^ol-(analyze|report): .*(nonsense|--figure|--treshold|--threshold)" said
        [ ! -e new.h5 ]
    done
}

@test "documents: the files and suites that they name are there" {
    cd "$ROOT"
    # `a/path` in backquotes, [text](links), and suites of the table of tests.
    for text in README.md .github/CONTRIBUTING.md data/*/README.md tests/bench/README.md; do
        folder=$(dirname "$text")
        for path in $(grep -oE '`(common|extract|analyze|report|tests|data|\.ci|\.github)/[A-Za-z0-9_./*-]*`' "$text" | tr -d '`'); do
            compgen -G "$path" >/dev/null || { echo "$text names $path"; return 1; }
        done
        for path in $(grep -oE '\]\([^):]*\)' "$text" | tr -d '])('); do
            [ -e "$folder/$path" ] || { echo "$text links to $path"; return 1; }
        done
    done
    for suite in $(sed -n '/is covered by/,/^$/p' .github/CONTRIBUTING.md | grep '^| ' | tail -n +2 | cut -d'|' -f3 | cut -d: -f1 | tr ',;' '  '); do
        [ -e "tests/unit/test_$suite.c" ] || [ -e "tests/cli/$suite.bats" ] ||
            [ -e "tests/fuzz/$suite.c" ] || { echo "no suite $suite"; return 1; }
    done
    # A word has one meaning.
    sed -n '/^## Words/,$p' .github/CONTRIBUTING.md | cut -d'|' -f2 | sort | uniq -d >"$BATS_TEST_TMPDIR/twice"
    not grep '[a-z]' "$BATS_TEST_TMPDIR/twice"
}

@test "documents: the table of the survey's models is what --plan says" {
    [ -n "$PYTHON" ] || skip "no Python with h5py"
    "$PYTHON" - "$EXTRACT" "$ROOT/data/models" <<'EOF'
import glob, json, subprocess, sys
extract, folder = sys.argv[1:]
told, chosen = {}, {}
for line in open(folder + "/README.md"):
    cells = [cell.strip() for cell in line.split("|")]
    if len(cells) == 9 and cells[2].endswith(" B"):
        told[cells[1]] = cells[2:7] + [float(cells[7].split()[0])]
for line in open(folder + "/../../README.md"):
    cells = [cell.strip() for cell in line.split("|")]
    if len(cells) == 7 and cells[2].endswith(" GB"):
        chosen[cells[1]] = cells[2:6]
assert len(chosen) == 6 and all(told[name][2:5] + ["%.1f GB" % told[name][5]] == chosen[name] for name in chosen), chosen
for path in glob.glob(folder + "/*.json"):
    most = json.load(open(path))["config"].get("n_positions", 2048)
    plan = json.loads(subprocess.run([extract, "--plan", "--threads", "2", "--backend", "cpu", "-l", str(min(most, 2048)), path],
                                     check=True, capture_output=True).stdout)
    model = plan["model"]
    total, active, disk, streamed, run, least = told.pop(model["name"])
    assert total == "%.1f B" % (model["total_parameters"] / 1e9), model["name"]
    assert active == "%.1f B" % (model["active_parameters"] / 1e9), model["name"]
    assert disk == "%.1f GB" % (plan["weights"]["bytes"]["total"] / 1e9), model["name"]
    assert streamed == "%.1f GB" % (plan["run"]["bytes_read"] / 1e9), model["name"]
    assert run == "%.1f GB" % (plan["run"]["disk_bytes"] / 1e9), model["name"]
    found = plan["memory"]["least_ram_bytes"] / 1e9
    assert abs(found - least) <= 0.1 + 0.1 * least, (model["name"], found, least)
assert told == {}, told
EOF
}

@test "documents: man pages have no mistakes that groff finds" {
    command -v groff >/dev/null || skip "groff is not installed"
    for page in "$ROOT"/*/*.[15] "$ROOT"/*/*/*.7; do
        [ -z "$(groff -t -man -ww -z -rLL=100n "$page" 2>&1 | grep -v 'cannot adjust\|cannot break' | tee /dev/stderr)" ]
    done
}

@test "documents: every table of an activation file is described" {
    paths=$(tr -d '\\\n' <"$ROOT/common/tables.h" | grep -o 'T([A-Z_]*, *"[^"]*"' | sed 's/.*"\(.*\)"/\1/')
    [ "$(echo "$paths" | wc -l)" -gt 30 ]
    for path in $paths; do
        path=$(echo "$path" | sed -E 's|%03d|NNN|; s|/summary/(ln_attn\|ln_mlp\|output)/|/summary/SITE/|')
        case $path in
            */squares/*) grep -q "\b$(basename "$path")\b" "$ROOT/common/ol-activations.5"; path=/layers/NNN/summary/squares/INPUT ;;
        esac
        grep -qE "^$path( |,|$)" "$ROOT/common/ol-activations.5" || { echo "$path is not in ol-activations.5"; false; }
    done
}
