# Reports of one result, in every format.
load report

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

@test "--output appears whole, and standard input is read" {
    "$REPORT" -o report.md < planted.json
    "$REPORT" planted.json | cmp - report.md
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
    # Beside the interval of the count, how it hangs on the threshold.
    "$REPORT" -f html planted.json -o planted.html
    "$PYTHON" - <<'PY'
import json
r, page = json.load(open("planted.json")), open("planted.html").read()
counts = r["uncertainty"]["margin"]["counts"]
pairs = [c["pairs"] for c in counts] + [r["llm_int8"]["pairs"]["count"]]
limits = [c["threshold"] for c in counts]
said = f"; {min(pairs)} to {max(pairs)} at thresholds from {min(limits):g} to {max(limits):g}<"
assert said in page.split("<dt>unique")[0], said
PY
    # Of many experts the rule has a meaning, and noise passes it all the same.
    "$PYTHON" "$TESTS/tools/make_results.py" > big.json
    for format in markdown html; do
        "$REPORT" -f $format --label few --label many planted.json big.json | grep -q 'where it takes the largest output, however small: planted (few)\.'
        not grep -q 'mean nothing in models of so few' <("$REPORT" -f $format --label a --label b big.json big.json)
    done
    "$REPORT" big.json > report.md
    section 'Super experts' | tr '\n' ' ' | grep -q "of 6144 experts .* it would list 23.2 on average"
}

@test "a number that is not there is a dash, wherever it is said" {
    REPORT=$REPORT "$PYTHON" - <<'PY'
import json
import subprocess
import os
import re
r = json.load(open("planted.json"))
places = [("llm_int8", "pairs", "count"), ("generators", "n_units"), ("generators", "units", 0, "layer"), ("head_outputs", "median_rms"),
          ("massive", "criterion", "near_ratio"), ("tokens", "n_outliers"), ("uncertainty", "least_sites"), ("expert_flips", "sample_tokens")]
for place in places:
    for remove in (False, True):
        changed = json.loads(json.dumps(r))
        at = changed
        for key in place[:-1]:
            at = at[key]
        if remove:
            at.pop(place[-1], None)
        else:
            at[place[-1]] = None
        json.dump(changed, open("unknown.json", "w"))
        for form in ("markdown", "html"):
            text = subprocess.run([os.environ["REPORT"], "-f", form, "unknown.json"], capture_output=True, text=True, check=True).stdout
            found = re.search(r"[-−]9[^0-9]?223[^0-9]?372|\bnan\b", text)
            assert not found, (place, form, text[found.start() - 80:found.end() + 20])
PY
}

@test "the inputs of down projections are shown as far as they are known" {
    "$REPORT" planted.json > report.md
    section 'Inputs of the down projections' | tr '\n' ' ' | grep -q "Errors of rounding them are of a few rows"
    section 'Inputs of the down projections' | grep -Eq '^\| nvfp4 +\| +[0-9]+ \| (expert [0-9]+|shared expert|MLP) +\| +[0-9.]+ \| +[0-9]+ \|$'
    section 'Inputs of the down projections' | grep -Eq '^\| +[0-9]+ \| (expert [0-9]+|shared expert|MLP) '
    # What only sums of squares tell is said where it is missing, and only there.
    section 'Inputs of the down projections' | tr '\n' ' ' | grep -q 'energy .*, are not known: only ol-extract --imatrix records them'
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --imatrix -o sums.h5 > sealed
    "$ANALYZE" sums.h5 | "$REPORT" > report.md
    section 'Inputs of the down projections' | tr '\n' ' ' | grep -q 'Energy is the share of the sum of squares'
    not grep -q 'only ol-extract --imatrix' report.md
    "$REPORT" -f csv --table down_inputs planted.json | sed -n 1p | grep -q ',largest,column,share_of_median,'
}

@test "the fuzzer's results files are whole: cases made of them get past reading" {
    for seed in "$TESTS"/fuzz/seeds/results/*.json; do
        "$REPORT" "$seed" > seed.md
        "$REPORT" trend "$seed" "$seed" > trend.md
    done
}
