load common

setup_file() {
    load common
    cd "$BATS_FILE_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --perplexity -o planted.h5
    "$ANALYZE" planted.h5 -o planted.json
    sed 's/"name": "planted"/"name": "a|b, \\"c\\""/' planted.json > other.json
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

@test "Markdown of one model has the counts of the results" {
    "$REPORT" planted.json > report.md
    grep -q '^# Outlier features of planted$' report.md
    grep -q '^| pairs  |    22 |' report.md
    grep -q '^| unique |     7 |' report.md
    grep -q '^| pooled |     6 |' report.md
    grep -q '^| strict |     3 |' report.md
    grep -q '^|      25 | .* | -    |$' report.md
    grep -q '5 qualify in all 4 batches, 5 in half of them or more, 2 in one only' report.md
    [ "$(grep -c '^ *[0-9]*  ln_' report.md)" -eq 8 ]
    "$REPORT" --top 2 planted.json | grep -q 'the first 2 of 7'
}

# The section of report.md, or of another file, that begins with a heading.
section() {
    awk -v name="$1" '/^##+ / { on = $0 ~ "^#+ " name "$" } on' "${2:-report.md}"
}

@test "Markdown shows where outliers are, how values are distributed, and other criteria" {
    "$REPORT" planted.json > report.md
    section Onset | grep -q '^ln_attn  3636$'
    section Onset | grep -q '^ ln_mlp  3516$'
    section Onset | grep -Eq '^\| +3 \| +0 \| ln_attn \| +3 \| +8 \| '
    section Onset | grep -q '^- Feature 3 sets in at layer 0 (ln_attn) and lasts to layer 3, at 8 sites.$'
    section Distributions | grep -Eq '^\| +0 \| ln_attn \| +46\.54 \| .* \| 388\.0 \| +[0-9.]+ \| +56\.78 \|$'
    [ "$(section Distributions | grep -c '^| *[0-9] | \(ln_attn\|ln_mlp\|output\) ')" -eq 12 ]
    section 'Positions and tokens' | grep -Eq '^\| +64 \| +- \| +144 \| +1\.99 \|$'
    section 'Positions and tokens' | grep -q '^ 3  ##############$'
    section 'Positions and tokens' | grep -q '^52  \.#\.#5555555555$'
    section 'Positions and tokens' | grep -q '^1  88888889999998$'
    section 'Other criteria' | grep -Eq '^\| +6 \| +26 / 8 \| +26 / 8 \| +22 / 7 \| 6 / 3 \| 4 / 1 \| 4 / 1 \|$'
    [ "$(section Experts | grep -c '^| nvfp4 ')" -eq 3 ]
    section Experts | grep -Eq '^\| int8_token +\| +0 \| +4 \| +30 \| +0\.[0-9]+ \|$'
    # Rows are limited, lines too.
    "$PYTHON" "$TESTS/tools/make_results.py" > big.json
    "$REPORT" --top 5 big.json > report.md
    for name in Onset Distributions 'Positions and tokens' 'Other criteria' Experts; do
        section "$name" | awk 'length($0) > 90 { print; long = 1 } END { exit long || NR < 8 }'
    done
    [ "$(section Distributions | grep -Ec '^\| +[0-9]+ \|')" -eq 5 ]
    [ "$(section Onset | grep -Ec '^\| +[0-9]+ \|')" -eq 5 ]
}

@test "every table row of Markdown has the columns of its header" {
    "$REPORT" planted.json other.json > survey.md
    "$REPORT" planted.json > one.md
    for file in survey.md one.md; do
        awk -F'|' '/^\|/ { gsub(/\\\|/, ""); n = gsub(/\|/, "|"); if (last && n != last) exit 1; last = n }
                   !/^\|/ { last = 0 }' $file
    done
    grep -q 'a\\|b' survey.md
}

@test "CSV is read back with the values of the results" {
    "$REPORT" -f csv planted.json > one.csv
    "$REPORT" -f csv planted.json other.json > survey.csv
    "$PYTHON" - <<'PY'
import csv
import json
results = json.load(open("planted.json"))
rows = list(csv.DictReader(open("one.csv")))
unique = results["llm_int8"]["unique"]["features"]
assert [int(r["feature"]) for r in rows if r["unique"] == "1"] == [f["feature"] for f in unique]
for row, feature in zip(rows, unique):
    assert float(row["position_fraction"]) == feature["position_fraction"]
    assert [float(row[k]) for k in ("q1", "median", "q3")] == feature["quartiles"]
rows = list(csv.DictReader(open("survey.csv")))
assert [r["model"] for r in rows] == ["planted", 'a|b, "c"']
assert [int(rows[0][k]) for k in ("pairs", "unique", "pooled", "strict")] == [22, 7, 6, 3]
assert float(rows[1]["perplexity"]) == results["perplexity"]["value"]
PY
}

@test "JSON has the documented members" {
    "$REPORT" -f json planted.json other.json > report.json
    "$PYTHON" - <<'PY'
import json
report = json.load(open("report.json"))
assert (report["format"], report["format_version"], len(report["models"])) == ("ol-report", 1, 2)
model = report["models"][0]
assert model["outliers"]["pairs"] == 22 and len(model["outliers"]["top"]) == 7
assert model["model"]["name"] == "planted" and len(model["warnings"]) == 3
assert len(model["sites"]) == 8
PY
}

@test "different criteria in a survey are pointed out" {
    "$ANALYZE" --threshold 7 planted.h5 -o seven.json
    "$REPORT" planted.json seven.json > report.md
    grep -q 'Warning.*differ in criterion (threshold 6, .*; threshold 7, .*the counts cannot be compared' report.md
    # A column says which row has which.
    section Counts | grep -q '^| model .*| threshold, sites, positions, batch '
    section Counts | grep -q '^| planted .*| 7, 25 %, 6 %, 1 '
}

@test "--output appears whole, and standard input is read" {
    "$REPORT" -o report.md < planted.json
    "$REPORT" planted.json | cmp - report.md
}

# planted.json as results of Qwen3-30B-A3B by the published criterion.
as_published() {
    "$PYTHON" - "$@" <<'PY'
import json, sys
results = json.load(open("planted.json"))
results["model"].update(name="Qwen/Qwen3-30B-A3B", total_parameters=30532122624, n_layers=48, d_model=2048)
results["input"]["windowing"] = "reference"
results.update(n_sites=96, n_sequences=16, n_tokens=32760)
for change in sys.argv[2:]:
    block, key, value = change.split("=")
    (results[block] if block else results)[key] = json.loads(value)
json.dump(results, open(sys.argv[1], "w"))
PY
}

@test "published counts stand beside what was found where both answer one question" {
    for name in Qwen/Qwen3-30B-A3B qwen3-30b-a3b; do
        as_published named.json "model=name=\"$name\""
        "$REPORT" named.json > report.md
        grep -q 'Published (arb8020/research, .*FineWeb-Edu, 16 x 2048 tokens): 110 pairs, mean L% 35.5, mean S% 45.1; here: 22, 45.5, 36.3.$' report.md
        grep -q 'Only ol-extract --windowing reference' report.md
    done
    "$REPORT" planted.json > report.md
    [ "$(grep -c 'Published (' report.md)" -eq 0 ]
    # Someone else's model of that name is another model.
    as_published named.json 'model=name="other/Qwen3-30B-A3B"'
    "$REPORT" named.json > report.md
    [ "$(grep -c 'Published (' report.md)" -eq 0 ]
    # One fact that differs, and the numbers do not stand side by side: in any format.
    while IFS='|' read -r change reason; do
        as_published named.json "$change"
        "$REPORT" named.json | tr '\n' ' ' > report.md
        grep -q "45.1; not comparable: $reason\." report.md || { echo "$change"; cat report.md; false; }
        not grep -q 'here: 22' report.md
        "$REPORT" -f html named.json | grep -q "Not comparable: $reason\."
        [ "$("$REPORT" -f csv --table published named.json | wc -l)" -eq 2 ]
        "$REPORT" named.json planted.json > survey.md
        section 'Published and measured' survey.md | sed 's/\\//g' | grep -q "| *110 | *- | .*| $reason *|"
        "$REPORT" -f html named.json planted.json > survey.html
        not grep -q 'id="figure-published"' survey.html
        run "$REPORT" -f svg --figure published named.json planted.json
        [ "$status" -eq 1 ]
    done <<'END'
criterion=threshold=3|threshold 3, published with 6
criterion=min_layers=0.1|share of sites 0.1, published with 0.25
criterion=min_positions=0.01|share of positions 0.01, published with 0.06
criterion=batch_size=4|batches of 4, published with 1
input=windowing="contiguous"|windowing contiguous, published with reference
=n_sequences=4|32760 tokens in 4 sequences, published with 32768 in 16
=n_tokens=8192|8192 tokens in 16 sequences, published with 32768 in 16
=n_sites=48|sites 48, published with 96
model=n_layers=4|another model of that name: layers 4, published with 48
model=d_model=96|another model of that name: d_model 96, published with 2048
model=total_parameters=5|another model of that name: parameters 5, published with 30532122624
END
    as_published named.json
    [ "$("$REPORT" -f csv --table published named.json | wc -l)" -eq 3 ]
    "$REPORT" -f html named.json planted.json | grep -q 'published: 110 pairs'
}

@test "two runs of one model are told apart everywhere" {
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --perplexity --precision f32 -o f32.h5
    "$ANALYZE" f32.h5 -o f32.json
    "$ANALYZE" --label 'the first' planted.h5 -o labelled.json
    # What differs has a column, what does not is said once.
    "$REPORT" planted.json f32.json > report.md
    section Runs | grep -Eq '^\| model +\| precision \|( processor +\|)?$'
    section Runs | grep -Eq '^\| planted \(f32\) +\| f32 '
    section Counts | grep -Eq '^\| planted \(f32\) +\| +22 '
    section Architectures | grep -q '^| planted (bf16) '
    section Architectures | grep -q '^| planted (f32) '
    grep -q '^In common: .*windowing .*; criterion' report.md
    grep -q 'Warning.*differ in precision (bf16; f32)' report.md
    not grep -q 'differ in processor' report.md
    "$REPORT" -f html planted.json f32.json > report.html
    grep -q '<td>planted (f32)</td>' report.html
    grep -q '<th scope="col">precision</th>' report.html
    "$REPORT" -f svg --figure counts-total planted.json f32.json | grep -q 'planted (f32): '
    "$REPORT" -f csv planted.json f32.json > report.csv
    "$REPORT" -f csv --table features planted.json f32.json > features.csv
    "$REPORT" -f json labelled.json > report.json
    # The same run twice: only the files differ.
    cp planted.json again.json
    "$REPORT" planted.json again.json | grep -q '^| planted (again.json) '
    # Labels, from the results and from the command line.
    "$REPORT" labelled.json | grep -q '^# Outlier features of planted (the first)$'
    "$REPORT" labelled.json f32.json > report.md
    section Architectures | grep -q '^| planted (the first) '
    section Runs | grep -Eq '^\| planted \(the first\) \| the first \| bf16 '
    "$REPORT" --label one --label two labelled.json f32.json > report.md
    section Runs | grep -Eq '^\| planted \(one\) +\| one +\| bf16 '
    section Runs | grep -Eq '^\| planted \(two\) +\| two +\| f32 '
    run "$REPORT" --label one --label two labelled.json
    [ "$status" -eq 2 ]
    "$PYTHON" - <<'PY'
import csv, json
rows = list(csv.DictReader(open("report.csv")))
assert [(r["model"], r["run"], r["precision"]) for r in rows] == [("planted", "bf16", "bf16"), ("planted", "f32", "f32")]
assert {r["run"] for r in csv.DictReader(open("features.csv"))} == {"bf16", "f32"}
assert json.load(open("report.json"))["models"][0]["run"]["label"] == "the first"
PY
    "$REPORT" diff planted.json f32.json | tee report.md > diff.md
    grep -q '^A is planted (bf16), B is planted (f32)\.$' diff.md
    section Runs | grep -Eq '^\| precision +\| bf16 +\| f32 +\| no'
    section Runs | grep -Eq '^\| windowing .*\| yes'
    grep -q 'Warning.*differ in precision' diff.md
    not grep -q 'different models' diff.md
}

@test "features of different models are matched by number only where that is said" {
    "$PYTHON" - <<'PY'
import json
for name, change in (("child", {"weights_sha256": "1" * 64}), ("cousin", {"weights_sha256": "1" * 64, "n_layers": 5}),
                     ("stranger", {"weights_sha256": "1" * 64, "family": "olmoe"})):
    results = json.load(open("planted.json"))
    results["model"].update(change)
    json.dump(results, open(name + ".json", "w"))
PY
    "$REPORT" diff planted.json child.json > diff.md
    grep -q 'different models, as their weights differ. Features are matched by number' diff.md
    grep -q ' kept as they are' diff.md
    for other in cousin stranger; do
        "$REPORT" diff planted.json $other.json > diff.md
        grep -q 'Warning.*different models (.*): their features cannot be matched' diff.md
        not grep -q ' kept as they are' diff.md
        "$REPORT" -f html diff planted.json $other.json | grep -q 'The comparison of features</b> is not'
    done
}

@test "of what is known on some tokens alone, a sentence says so" {
    "$PYTHON" - <<'PY'
import json
results = json.load(open("planted.json"))
feature = results["attribution"]["features"][0]
writer = {"layer": 1, "kind": "attention", "expert": None, "n_tokens": feature["n_tokens"],
          "sum": 0.6 * feature["magnitude"], "share": 0.6}
feature["made_by"] = [writer]
feature["erased_by"] = [{**writer, "layer": 2, "n_tokens": feature["n_tokens"] // 2, "sum": -0.3 * feature["magnitude"], "share": -0.3}]
json.dump(results, open("attention.json", "w"))
feature["erased_by"][0].update(kind="expert", expert=0)
json.dump(results, open("expert.json", "w"))
PY
    half=$("$PYTHON" -c 'import json; print(json.load(open("planted.json"))["attribution"]["features"][0]["n_tokens"] // 2)')
    "$REPORT" -f html attention.json | grep -q "(60.0 %); erased at layer 2 by attention: [^ ]* (30.0 %; known on $half of these tokens)"
    # An expert need not have been chosen on the rest.
    "$REPORT" -f html expert.json | grep -q '(60.0 %); erased at layer 2 by expert 0: [^ ]* (30.0 %)'
}

@test "other texts, amounts, windowing, BOS and processors are pointed out" {
    change() {
        "$PYTHON" - "$1" "$2" "$3" <<'PY'
import json, sys
results = json.load(open("planted.json"))
results["run"]["processor"] = "one kind"
json.dump(results, open("base.json", "w"))
(results[sys.argv[1]] if sys.argv[1] else results)[sys.argv[2]] = json.loads(sys.argv[3])
json.dump(results, open("changed.json", "w"))
PY
    }
    while IFS='|' read -r block key value said; do
        change "$block" "$key" "$value"
        for command in "" diff; do
            "$REPORT" $command base.json changed.json > report.md
            grep -q "Warning.*differ in $said" report.md || { echo "$command $key"; false; }
            "$REPORT" -f html $command base.json changed.json | grep -q "differ in $said"
        done
    done <<'END'
input|text_sha256|"1"|text
input|windowing|"reference"|windowing
input|bos|true|BOS
run|processor|"another kind"|processor
run|backend|"cuda"|backend
|n_tokens|100|tokens in sequences
criterion|threshold|5|criterion
END
    # One text by another path is the same text.
    change input source '"elsewhere/ids.txt"'
    for command in "" diff; do
        "$REPORT" $command base.json changed.json > report.md
        not grep -q 'differ in text' report.md
    done
    # Names have texts without their folders; "..." stands for a third value, not for a file.
    change input text_sha256 '"0123456789"'
    sed -i 's|"source": "|"source": "/some/folder/|' changed.json
    "$REPORT" base.json changed.json base.json > report.md
    section Architectures | grep -q '^| planted (ids.txt (01234567)) '
    grep -q 'Warning.*differ in text ([^;]*; /some/folder/[^;]*)' report.md
    sed 's/0123456789/third/' changed.json > third.json
    "$REPORT" base.json changed.json third.json | grep -q 'differ in text ([^;]*; [^;]*; \.\.\.)'
    # In f32 all processors agree.
    change run processor '"another kind"'
    sed -i 's/"precision": "bf16"/"precision": "f32"/' base.json changed.json
    "$REPORT" base.json changed.json > report.md
    not grep -q 'differ in processor' report.md
}

@test "hostile texts are harmless in every format" {
    "$PYTHON" "$TESTS/tools/make_results.py" --edge hostile --layers 4 --experts 8 --width 64 > hostile.json
    "$PYTHON" "$TESTS/tools/make_results.py" --layers 4 --experts 8 --width 64 > plain.json
    "$REPORT" hostile.json > hostile.md
    "$REPORT" hostile.json plain.json > survey.md
    "$REPORT" diff hostile.json plain.json > diff.md
    "$REPORT" -f html hostile.json > hostile.html
    "$REPORT" -f html hostile.json plain.json > survey.html
    "$REPORT" -f html diff hostile.json plain.json > diff.html
    "$REPORT" -f json hostile.json > hostile.report
    "$REPORT" -f study hostile.json > hostile.study
    "$REPORT" -f super-experts hostile.json > hostile.experts
    "$REPORT" -f csv hostile.json > one.csv
    "$REPORT" -f csv hostile.json plain.json > survey.csv
    for table in $("$REPORT" --table help | awk '{ print $1 }'); do
        "$REPORT" -f csv --table $table hostile.json > table-$table.csv || [ $table = published ]
    done
    "$REPORT" -f svg --figure features hostile.json > hostile.svg
    "$REPORT" -f svg --figure counts-total hostile.json plain.json > survey.svg
    "$PYTHON" - <<'PY'
import csv, glob, json, re
names = [n for p in ("hostile.*", "survey.*", "diff.*", "*.csv") for n in glob.glob(p) if n not in ("hostile.json",)]
assert len(names) > 40, names
for name in set(names):
    text = open(name, encoding="utf-8", newline="").read()
    # Nothing that commands a terminal or turns a line around.
    acts = set(re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", text))
    assert not acts, (name, acts)
    assert "\t" not in text or name.endswith(".csv"), name
for name in glob.glob("*.csv"):
    for row in csv.reader(open(name, encoding="utf-8", newline="")):
        for cell in row:
            # A number, one sign alone, or no formula.
            assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or len(cell) == 1 or re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", cell), (name, cell)
for name in glob.glob("*.md"):
    text = open(name, encoding="utf-8").read()
    fence = "".join(re.split(r"(?m)^```$", text)[0::2])     # outside blocks of code
    bare = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\[!-/:-@\[-`{-~]", "", fence))  # no escapes, no code
    assert "<" not in bare and "[a]" not in bare and "://" not in bare and "`" not in bare, (name, [l for l in bare.splitlines() if "<" in l or "[a]" in l or "`" in l][:3])
    assert not re.search(r"(?m)^#+ head", text), name
    cells = {}
    for line in text.splitlines():
        n = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) if line.startswith("|") else 0
        assert not n or cells.get("n", n) == n, (name, line)
        cells = {"n": n} if n else {}
# JSON loses nothing.
again, given = json.load(open("hostile.report"))["models"][0], json.load(open("hostile.json"))
assert again["run"] == given["run"] and again["tokens"] == given["tokens"] and again["model"] == given["model"]
PY
    # Messages are one line, whatever the file is called.
    name=$'evil\n\e[31m\xe2\x80\xae.json'
    echo '{' > "$name"
    run "$REPORT" "$name"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *'evil\n\x1b[31m\u202e.json'* ]]
    run "$REPORT" "--$name"
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "damaged numbers and missing keys: a report or one line that names the key" {
    spoil() {
        "$PYTHON" - "$1" <<'PY'
import json, sys
r = json.load(open("planted.json"))
exec(sys.argv[1])
json.dump(r, open("spoilt.json", "w"))
PY
    }
    for value in 5e-324 1e308 1e-310; do
        spoil "v = $value
for s in r['sites']: s['max_magnitude'] = v
for s in r['distributions']['sites']: s['kurtosis'] = s['std'] = v
for l in r['massive']['layers']: l['max_magnitude'] = l['median_magnitude'] = v; l['mean_top'] = [v] * 4
for f in r['llm_int8']['unique']['features']: f['max_magnitude'] = v; [s.update(max_magnitude=v) for s in f['sites']]
r['sweep']['thresholds'] = [v * (1 + i / 100) if v < 1 else v for i in range(len(r['sweep']['thresholds']))]
r['positions']['outliers_per_token'][0] = v
r['perplexity']['value'] = v
r['criterion']['threshold'] = v"
        for format in markdown html json csv; do timeout 20 "$REPORT" -f $format spoilt.json > out; done
        timeout 20 "$REPORT" -f html spoilt.json planted.json > out.html
        not grep -Eq '[ ="](nan|-nan|inf|NaN)[ "]' out.html
    done
    for key in layer_fraction position_fraction occurrences feature max_magnitude; do
        spoil "del r['llm_int8']['batches'][1]['features'][2]['$key']"
        run "$REPORT" -f study spoilt.json
        [ "$status" -eq 1 ]
        [ "$output" = "ol-report: spoilt.json: key \"llm_int8.batches[1].features[2].$key\" is missing" ]
    done
    spoil "r['n_tokens'] = 2 ** 60"
    run "$REPORT" spoilt.json
    [ "$output" = 'ol-report: spoilt.json: key "n_tokens" is 1152921504606846976, expected 0 to 9007199254740992' ]
    spoil "r['tokens']['pieces'][0]['n_tokens'] = 2 ** 62"
    run "$REPORT" spoilt.json
    [[ $output == *'tokens.pieces[0].n_tokens" is 4611686018427387904, expected 0 to 9007199254740992'* ]]
    : > empty.json
    for file in empty.json /; do
        run "$REPORT" $file
        [ "$status" -eq 1 ]
        [[ $output != *'line -1'* && $output == "ol-report: $file"?* ]]
    done
}

@test "a count of 0 on a logarithmic axis has a row of its own" {
    "$PYTHON" - <<'PY'
import json
r = json.load(open("planted.json"))
r["sweep"]["unique"] = json.loads(json.dumps(r["sweep"]["unique"]))
for i, t in enumerate(r["sweep"]["thresholds"]):
    if t > 12:
        for name in ("unique", "pairs"):
            r["sweep"][name][i] = json.loads(json.dumps(r["sweep"][name][i]).translate({ord(c): "0" for c in "123456789"}).replace("00", "0").replace("00", "0"))
json.dump(r, open("zero.json", "w"))
r["llm_int8"]["pairs"]["count"] = r["llm_int8"]["unique"]["count"] = 0
json.dump(r, open("none.json", "w"))
PY
    "$REPORT" -f svg --figure thresholds zero.json > zero.svg
    "$REPORT" -f svg --figure counts-total planted.json none.json > none.svg
    "$PYTHON" - <<'PY'
import re
for name in ("zero.svg", "none.svg"):
    svg = open(name).read()
    ticks = {label: float(y) for y, label in re.findall(r'<text x="77" y="([0-9.]+)" text-anchor="end" class="mu">([0-9.]+)</text>', svg)}
    assert "0" in ticks, (name, ticks)
    lowest = max(y for label, y in ticks.items() if label != "0")
    assert ticks["0"] > lowest + 10, (name, ticks)
    marks = re.findall(r'<(?:circle|rect)[^>]* (?:cy|y)="([0-9.]+)"[^>]*><title>[^<]*: 0[,<]', svg)
    assert marks and all(abs(float(y) + (4 if name == "none.svg" and "." not in y and float(y) + 4 == ticks["0"] - 4 else 0) - (ticks["0"] - 4)) < 5 for y in marks), (name, marks, ticks)
PY
}

@test "results of chosen statistics: what was left out is told, and nothing else is blamed" {
    "$ANALYZE" --statistics router planted.h5 -o router.json
    "$ANALYZE" --statistics llm_int8,perplexity planted.h5 -o counts.json
    "$ANALYZE" --statistics sites planted.h5 -o sites.json
    "$REPORT" router.json > report.md
    grep -q 'Not among the statistics of this analysis (ol-analyze --statistics): .*llm_int8.*sites' report.md
    grep -q '^| perplexity | not in these results' report.md
    not grep -q 'store none\|not computed' report.md
    [ "$("$REPORT" sites.json | grep -c '^ *[0-9]*  ln_')" -eq 8 ]
    # Unknown is not 0.
    "$REPORT" planted.json counts.json > survey.md
    grep -Eq '^\| planted .* 22 \| .* 394\.0 \|' survey.md
    grep -Eq '^\| planted .* 22 \| .* - \|' survey.md
    for format in html json csv; do "$REPORT" -f $format router.json > /dev/null; done
    run "$REPORT" -f study router.json
    [ "$status" -eq 1 ]
    [[ $output == *"llm_int8 is not among its statistics"* ]]
    run "$REPORT" -f super-experts router.json
    [ "$status" -eq 1 ]
    [[ $output == *"super_experts is not among its statistics"* ]]
}

@test "a survey says how models route, their sizes and counts" {
    "$EXTRACT" -q "$GOLDEN/deepseek_v3" --ids "$GOLDEN/deepseek_v3/ids.txt" -o deepseek.h5
    "$EXTRACT" -q "$GOLDEN/qwen3" --ids "$GOLDEN/qwen3/ids.txt" -o dense.h5
    for name in deepseek dense; do "$ANALYZE" $name.h5 -o $name.json; done
    "$REPORT" planted.json deepseek.json dense.json > report.md
    section Architectures | grep -Eq '^\| planted .* softmax +\| BF16'
    section Architectures | grep -Eq '^\| deepseek_v3 .* sigmoid, 2 of 4 groups +\|'
    section Architectures | grep -Eq '^\| qwen3 +\| qwen3 .*\| - +\| '
    section Counts | grep -Eq '^\| planted '
}

@test "a survey compares layers, number formats and routing" {
    "$REPORT" planted.json other.json >survey.md
    "$REPORT" -f html planted.json other.json >survey.html
    for figure in norms stream kurtosis; do
        "$REPORT" -f svg --figure $figure-depth planted.json other.json >$figure.svg
    done
    "$PYTHON" - <<'PY'
import json, math, re, statistics
runs = [json.load(open(name)) for name in ("planted.json", "other.json")]
text, page = open("survey.md").read(), open("survey.html").read()
def rows(title):
    block = text.split("## " + title + "\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line)) for line in lines[2:]]
def near(shown, value):
    assert math.isclose(float(shown), value, rel_tol=0.02, abs_tol=0.051), (shown, value)
for title, of in (("median", statistics.median), ("worst", max)):
    table = rows(f"Errors of number formats, {title} site")
    assert len(table) == 2
    for run, row in zip(runs, table):
        q = run["quantisation"]
        for m, method in enumerate(q["methods"]):
            near(row[method], 100 * of([site["error"][m] for site in q["sites"] if site["error"][m] is not None]))
for run, row in zip(runs, rows("Routing")):
    router = run["router"]
    layers = router["layers"]
    entropies = [l["entropy"] for l in layers if l["entropy"] is not None]
    near(row["mean entropy, % of the largest"], 100 * statistics.mean(entropies) / math.log2(router["n_experts"]))
    near(row["busiest expert, times an even share"], max(l["max_load"] for l in layers))
    assert int(row["experts never chosen"]) == sum(len(l["never_chosen"]) for l in layers)
    assert int(row["experts of standing committees"]) == sum(len(l["committee"]) for l in run["co_activation"]["layers"])
# A point for each layer, at its share of the depth.
for name, values in (
        ("norms", [[max(s["max_magnitude"] for s in run["sites"] if s["layer"] == l and s["site"].startswith("ln_"))
                    for l in sorted({s["layer"] for s in run["sites"]})] for run in runs]),
        ("stream", [[l["mean_top_published"][0] for l in run["massive"]["layers"]] for run in runs])):
    tips = re.findall(r"<title>(.*?), depth ([0-9.]+): ([^<]*)</title>", open(name + ".svg").read())
    assert len(tips) == sum(map(len, values)), (name, len(tips))
    depths = [round(float(d)) for _, d, _ in tips]
    assert min(depths) == 0 and max(depths) == 100
    for (_, _, shown), value in zip(tips, sum(values, [])):
        near(shown.replace("\u202f", "").replace(",", ""), value)
for figure in ("norms", "stream", "kurtosis"):
    assert f'id="figure-{figure}-depth"' in page
PY
}

@test "a figure as PNG is the SVG at twice the size, and says what it needs" {
    "$REPORT" -f svg --figure attribution planted.json > figure.svg
    "$REPORT" -f png --figure attribution planted.json -o figure.png
    "$PYTHON" - <<'PY'
import re, struct, zlib
svg, png = open("figure.svg").read(), open("figure.png", "rb").read()
assert png[:8] == b"\x89PNG\r\n\x1a\n" and png.endswith(b"IEND\xaeB`\x82")
size = [round(2 * float(x)) for x in re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg).groups()]
assert list(struct.unpack(">II", png[16:24])) == size, (png[16:24], size)
chunks, at = b"", 8
while at < len(png):
    n, = struct.unpack(">I", png[at : at + 4])
    chunks += png[at + 8 : at + 8 + n] if png[at + 4 : at + 8] == b"IDAT" else b""
    at += 12 + n
assert len(set(zlib.decompress(chunks))) > 20 # something is drawn
PY
    "$REPORT" -f png --figure attribution planted.json | cmp - figure.png
    PATH=/nowhere run "$REPORT" -f png --figure attribution planted.json -o other.png
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"needs rsvg-convert"*librsvg2-bin* ]]
    [ ! -e other.png ]
    run "$REPORT" -f png planted.json
    [ "$status" -eq 2 ]
}

# Width and height of the first page of a PDF file, in points. Cairo keeps a page's
# dictionary as it is, or, since 1.18, in a compressed stream of objects.
pdf_size() {
    "$PYTHON" - "$1" <<'PY'
import re, sys, zlib
pdf = open(sys.argv[1], "rb").read()
assert pdf.startswith(b"%PDF-") and b"%%EOF" in pdf[-32:]
texts = [pdf]
for objects in re.finditer(rb"/Type */ObjStm.*?stream\r?\n", pdf, re.S):
    texts.append(zlib.decompressobj().decompress(pdf[objects.end():]))
boxes = [re.search(rb"MediaBox *\[ *0 0 ([0-9.]+) ([0-9.]+) *\]", text) for text in texts]
print(*(number.decode() for number in next(filter(None, boxes)).groups()))
PY
}

@test "a figure as PDF is as wide as a column, its texts of 7 points" {
    for figure in magnitudes stream experts; do
        "$REPORT" -f pdf --figure $figure planted.json -o figure.pdf
        "$REPORT" -f pdf --figure $figure planted.json | cmp - figure.pdf
        size=$(pdf_size figure.pdf)
        awk -v size="$size" 'BEGIN { split(size, s, " "); column = 86 / 25.4 * 72
            exit !(s[1] > column - 0.5 && s[1] < column + 0.5 && s[2] > 100 && s[2] < 700) }'
    done
    # What needs a page's width has it; what is on a page is as wide as ever.
    "$REPORT" -f pdf --figure attribution planted.json -o wide.pdf
    size=$(pdf_size wide.pdf)
    [[ $size == 466.* ]]
    "$REPORT" -f svg --figure stream planted.json | grep -q 'viewBox="0 0 800 320"'
    PATH=/nowhere run "$REPORT" -f pdf --figure stream planted.json -o other.pdf
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"needs rsvg-convert"* ]]
    [ ! -e other.pdf ]
}

@test "a page as PDF is made by a browser, or says what it needs" {
    "$REPORT" -f html planted.json -o page.html
    mkdir -p browser folder
    # One that prints the page into its file.
    cat >browser/google-chrome <<'SH'
#!/bin/sh
for word; do
    case $word in
    --print-to-pdf=*) to=${word#*=} ;;
    file://*) from=${word#file://} ;;
    esac
done
echo noise >&2
echo noise
[ ! -e fails ] || exit 3
{ echo %PDF-; cat "$from"; } >"$to"
SH
    chmod +x browser/google-chrome
    cp -s "$(command -v rm)" "$(command -v cat)" browser
    TMPDIR=$PWD/folder PATH=$PWD/browser run "$REPORT" -f pdf planted.json -o page.pdf
    [ "$status" -eq 0 ] && [ -z "$output" ]
    { echo %PDF-; cat page.html; } | cmp - page.pdf
    [ -z "$(ls folder)" ]
    touch fails
    TMPDIR=$PWD/folder PATH=$PWD/browser run "$REPORT" -f pdf planted.json -o other.pdf
    [ "$status" -eq 1 ] && [ "$output" = "ol-report: google-chrome failed" ]
    [ ! -e other.pdf ] && [ -z "$(ls folder)" ]
    PATH=/nowhere run "$REPORT" -f pdf planted.json -o other.pdf
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"needs a browser: none of chromium, "* ]]
    [ ! -e other.pdf ]
    if command -v chromium >/dev/null; then
        "$REPORT" -f pdf planted.json -o page.pdf
        grep -aq '^%PDF-' page.pdf && grep -aq '/Type /Page\b' page.pdf
    fi
}

@test "counts come with their margin, super experts with what noise gives, sites with layers" {
    "$REPORT" planted.json > report.md
    section 'Super experts' | grep -q "by the published rule, .* (too few experts for the rule)"
    section 'Super experts' | grep -q "the published rule cannot be meaningful"
    section Uncertainty | tr '\n' ' ' | grep -q "The margin of the count: [0-9]* pairs at the threshold of 6, "
    section Uncertainty | grep -Eq '^\| 1 bf16 step higher +\| +6\.031 \| +[0-9]+ \|$'
    section Uncertainty | grep -Eq '^\| unique +\| +[0-9]+ \| +- \| +- \|$'
    grep -q "^A layer has two sites; of the layers, that is mean " report.md
    grep -q "^| feature .* | sites, % | layers, % | positions, % |" report.md
    "$REPORT" -f csv --table margin planted.json | grep -q ',1 bf16 step lower,5.96875,[0-9]*$'
    "$REPORT" -f csv planted.json | sed -n 1p | grep -q ',distinct_layer_fraction$'
    # Of many experts the rule has a meaning, and noise passes it all the same.
    "$PYTHON" "$TESTS/tools/make_results.py" > big.json
    "$REPORT" big.json > report.md
    section 'Super experts' | tr '\n' ' ' | grep -q "of 6144 experts .* it would list 23.2 on average"
}

@test "the inputs of down projections are shown as far as they are known" {
    "$REPORT" planted.json > report.md
    section 'Inputs of the down projections' | tr '\n' ' ' | grep -q "Errors of rounding them are of a few rows"
    section 'Inputs of the down projections' | grep -Eq '^\| nvfp4 +\| +[0-9]+ \| (expert [0-9]+|shared expert|MLP) +\| +[0-9.]+ \| +[0-9]+ \|$'
    section 'Inputs of the down projections' | grep -Eq '^\| +[0-9]+ \| (expert [0-9]+|shared expert|MLP) '
    "$REPORT" -f csv --table down_inputs planted.json | sed -n 1p | grep -q ',largest,column,share_of_median,'
}

@test "a trend over steps, sizes and files, from the files" {
    cd "$BATS_TEST_TMPDIR"
    make() { "$PYTHON" "$TESTS/tools/make_results.py" --layers 4 --experts 4 --width 64 "$@"; }
    trend() { "$PYTHON" "$TESTS/oracle/trend.py" "$@"; }
    make --seed 1 --label 'step 0' > a.json
    make --seed 2 --label 'step 512' > b.json
    make --seed 3 --label 'step 143k' --without massive --without super_experts --without llm_int8 --without perplexity > c.json
    make --edge dense --label 'step 1.5k' > d.json
    "$REPORT" -f csv trend c.json b.json a.json d.json > trend.csv
    trend trend.csv 0=a.json 512=b.json 1500=d.json 143000=c.json
    # Without labels their sizes tell them apart, or nothing does.
    make --seed 1 --parameters 7000000000 > s.json
    make --seed 2 --parameters 1400000000 > t.json
    "$REPORT" -f csv trend s.json t.json > trend.csv
    trend trend.csv 1.4=t.json 7=s.json
    make --seed 2 --parameters 7000000000 > t.json
    "$REPORT" -f csv trend t.json s.json > trend.csv
    trend trend.csv 1=t.json 2=s.json
    "$REPORT" trend a.json b.json d.json > trend.md
    pairs() { "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["llm_int8"]["pairs"]["count"])' $1; }
    grep -q "^- pairs: from $(pairs a.json) (step 0) to $(pairs d.json) (step 1.5k)" trend.md
    "$REPORT" -f html trend a.json b.json | grep -q 'id="figure-trend-kurtosis"'
    "$REPORT" -f svg --figure trend-maxima trend a.json b.json | grep -q '^<svg'
    # What only one has is no trend.
    run "$REPORT" -f svg --figure trend-massive trend a.json c.json
    [ "$status" -eq 1 ]
    [ "$output" = 'ol-report: --figure trend-massive: fewer than two of the results have it' ]
    run "$REPORT" trend a.json
    [ "$status" -eq 2 ]
    [[ "$output" == *'trend needs two results files or more, found 1'* ]]
    for wrong in '-f json' '-f svg --figure onset' '-f csv --table router'; do
        run "$REPORT" $wrong trend a.json b.json
        [ "$status" -eq 2 ]
    done
}

@test "the fuzzer's results files are whole: cases made of them get past reading" {
    for seed in "$TESTS"/fuzz/seeds/results/*.json; do
        "$REPORT" "$seed" > seed.md
        "$REPORT" trend "$seed" "$seed" > trend.md
    done
}
