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
    "$REPORT" --top 2 planted.json | grep -q 'The first 2 of 7'
}

# The section of report.md that begins with a heading.
section() {
    awk -v name="$1" '/^##+ / { on = $0 ~ "^#+ " name "$" } on' report.md
}

@test "Markdown shows where outliers are, how values are distributed, and other criteria" {
    "$REPORT" planted.json > report.md
    section Onset | grep -q '^ln_attn  3636$'
    section Onset | grep -q '^ ln_mlp  3516$'
    section Onset | grep -Eq '^\| +3 \| +0 \| +3 \| +8 \|$'
    section Distributions | grep -Eq '^\| +0 \| ln_attn \| +46\.54 \| .* \| 388\.0 \| +56\.78 \|$'
    [ "$(section Distributions | grep -c '^| *[0-9] | \(ln_attn\|ln_mlp\|output\) ')" -eq 12 ]
    section Positions | grep -Eq '^\| +64 \| +- \| +144 \| +1\.99 \|$'
    section Positions | grep -q '^ 3  ##############$'
    section Positions | grep -q '^52  \.#\.#5555555555$'
    section Positions | grep -q '^1  88888889999998$'
    section 'Other criteria' | grep -Eq '^\| +6 \| +26 / 8 \| +26 / 8 \| +22 / 7 \| 6 / 3 \| 4 / 1 \| 4 / 1 \|$'
    [ "$(section Experts | grep -c '^| nvfp4 ')" -eq 3 ]
    section Experts | grep -Eq '^\| int8_token +\| +0 \| +4 \| +32 \| +0\.[0-9]+ \|$'
    # Rows are limited, lines too.
    "$PYTHON" "$TESTS/tools/make_results.py" > big.json
    "$REPORT" --top 5 big.json > report.md
    for name in Onset Distributions Positions 'Other criteria' Experts; do
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
    "$REPORT" planted.json seven.json | grep -q 'different criteria'
}

@test "--output appears whole, and standard input is read" {
    "$REPORT" -o report.md < planted.json
    "$REPORT" planted.json | cmp - report.md
}

@test "published counts stand beside what was found" {
    for name in Qwen/Qwen3-30B-A3B qwen3-30b-a3b; do
        sed "s|\"name\": \"planted\"|\"name\": \"$name\"|" planted.json > named.json
        "$REPORT" named.json > report.md
        grep -q 'Published (arb8020/research, .*FineWeb-Edu, 16 x 2048 tokens): 110 pairs, mean L% 35.5, mean S% 45.1; here: 22, 45.5, 36.3$' report.md
    done
    "$REPORT" planted.json > report.md
    [ "$(grep -c 'Published (' report.md)" -eq 0 ]
    # Someone else's model of that name is another model.
    sed 's|"name": "planted"|"name": "other/Qwen3-30B-A3B"|' planted.json > named.json
    "$REPORT" named.json > report.md
    [ "$(grep -c 'Published (' report.md)" -eq 0 ]
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
