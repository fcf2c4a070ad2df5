# Reports of several results: surveys, comparisons of two, trends, published counts.
load report

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

@test "different criteria in a survey are pointed out" {
    "$ANALYZE" --threshold 7 planted.h5 -o seven.json
    "$REPORT" planted.json seven.json > report.md
    grep -q 'Warning.*differ in criterion (threshold 6, .*; threshold 7, .*the counts cannot be compared' report.md
    # A column says which row has which.
    section Counts | grep -q '^| model .*| threshold, sites, positions, batch '
    section Counts | grep -q '^| planted .*| 7, 25 %, 6 %, 1 '
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
        "$REPORT" -f html diff planted.json $other.json | grep -q '<p>The features are not compared: '
    done
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
    "$REPORT" -f svg --figure trend-steps trend a.json b.json | grep -q 'steps down'
    "$REPORT" diff a.json b.json | grep -q '^| steps up  *| *3 | *3 | *0 |'
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
