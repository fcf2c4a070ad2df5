load common

setup_file() {
    load common
    cd "$BATS_FILE_TMPDIR"
    make="$PYTHON $TESTS/tools/make_results.py"
    $make > big.json
    $make --edge hostile --layers 4 --experts 8 --width 64 > hostile.json
    $make --edge empty --layers 4 --experts 8 --width 64 > empty.json
    $make --edge nulls --layers 4 --experts 8 > nulls.json
    $make --edge dense --layers 6 --width 128 > dense.json
    $make --layers 1 --tokens 1 --sequences 1 --experts 1 --width 16 > one.json
    $make --layers 4 --experts 8 --width 64 > small.json
    $make --layers 4 --experts 8 --width 64 --seed 2 --name other/Sample > other.json
    $make --layers 16 --experts 64 --name allenai/OLMoE-1B-7B-0125 --windowing reference \
        --parameters 6919161856 > olmoe.json
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --perplexity -o planted.h5
    "$ANALYZE" planted.h5 -o planted.json
    for page in big hostile empty nulls dense one small planted; do
        "$REPORT" -f html $page.json -o $page.html
    done
    "$REPORT" -f html small.json olmoe.json dense.json nulls.json -o survey.html
    "$REPORT" -f html diff small.json other.json -o diff.html
    cat > well_formed.py <<'PY'
"""Every element that is opened is closed, in order; ids are unique and links lead to them."""
import html.parser
import sys

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "rect", "circle", "line"}


class Page(html.parser.HTMLParser):
    def __init__(self, name):
        super().__init__()
        self.name, self.open, self.ids, self.links, self.loads = name, [], set(), [], []
        self.count = {}

    def note(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        for key, value in attributes:
            if key == "id":
                assert value not in self.ids, (self.name, "twice", value)
                self.ids.add(value)
            if key in ("href", "src", "srcset", "action", "data", "xlink:href"):
                (self.links if value.startswith("#") else self.loads).append(value)
            assert not key.startswith("on"), (self.name, key)

    def handle_starttag(self, tag, attributes):
        self.note(tag, attributes)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.note(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (self.name, self.getpos(), self.open[-3:], tag)
        self.open.pop()


for name in sys.argv[1:]:
    text = open(name, encoding="utf-8", newline="").read()
    page = Page(name)
    page.feed(text)
    page.close()
    assert not page.open, (name, page.open)
    assert page.loads == ["data:,"], (name, page.loads)
    for link in page.links:
        assert link[1:] in page.ids, (name, link)
    assert page.count["h1"] == 1 and page.count["script"] == 1, name
    assert "nan" not in text.replace("Anne", "").lower().split(), name
    for bad in ("url(",) if "hostile" in name else ("http:", "https:", "//", "url(", "@import", "\x00", "\x07", "\x1b", "\ufffe"):
        assert bad not in text, (name, bad)
PY
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

@test "pages are well formed, load nothing, and links lead somewhere" {
    "$PYTHON" well_formed.py ./*.html
}

@test "the policy lets the page's own style and script through, and nothing else" {
    "$PYTHON" - <<'PY'
import base64, hashlib, re
for name in ("small.html", "hostile.html", "survey.html", "diff.html"):
    text = open(name, encoding="utf-8", newline="").read()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    rules = dict(r.split(" ", 1) for r in policy.split("; "))
    assert "unsafe" not in policy and rules["default-src"] == "'none'", policy
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inside, = re.findall("<%s>(.*?)</%s>" % (tag, tag), text, re.S)
        assert rules[rule] == "'sha256-%s'" % base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode(), (name, tag)
    assert not re.search(r'<[^>]* style="', text), name
PY
}

@test "a page of 48 layers of 128 experts is small" {
    [ "$(stat -c %s big.html)" -lt 4000000 ]
}

@test "the same results give the same bytes" {
    "$REPORT" -f html big.json | cmp - big.html
}

@test "names and pieces are text, whatever they hold" {
    grep -q 'Outlier features of &lt;b&gt;&quot;evil&quot; &amp; &#39;co&#39;' hostile.html
    grep -q '&lt;script&gt;alert(1)&lt;/script&gt;' hostile.html
    [ "$(grep -c '<script>' hostile.html)" -eq 1 ]
    [ "$(grep -c '<b>"evil"' hostile.html)" -eq 0 ]
    "$REPORT" hostile.json > hostile.md
    grep -q '`<script>alert(1)</script>`' hostile.md
}

@test "what is not in the results is said in a sentence" {
    [ "$(grep -c 'is not in these results' nulls.html)" -ge 15 ]
    [ "$(grep -c '<svg' nulls.html)" -eq 1 ]   # the sites are there
    # Nothing was found: sentences, no pictures without content.
    for figure in features sweep positions feature_positions site_positions consistency attribution; do
        [ "$(grep -c "id=\"figure-$figure\"" empty.html)" -eq 0 ]
        [ "$(grep -c "id=\"figure-$figure\"" small.html)" -eq 1 ]
    done
    "$PYTHON" - <<'PY'
import json
results = json.load(open("small.json"))
for block in ("router", "distributions", "massive", "super_experts", "attribution", "links", "tokens",
              "positions", "position_map", "onset", "sweep", "uncertainty", "phase_shift", "quantisation",
              "expert_quantisation", "co_activation", "generators", "fp4", "choices", "attention_sinks",
              "residual_sinks", "steps",
              "expert_flips", "head_outputs", "residual_streams"):
    del results[block]
json.dump(results, open("old.json", "w"))
PY
    "$REPORT" -f html old.json -o old.html
    "$PYTHON" well_formed.py old.html
    grep -q '<b>Histograms of magnitudes</b> is not in these results' old.html
    grep -q 'Features by layer.</b>' old.html
    for figure in feature_positions site_positions expert_quantisation; do
        [ "$(grep -c "id=\"figure-$figure\"" small.html)" -eq 1 ]
        [ "$(grep -c "id=\"figure-$figure\"" old.html)" -eq 0 ]
    done
    [ "$(grep -c 'expert' dense.html)" -gt 0 ]
    [ "$(grep -c "quantising each expert" dense.html)" -eq 0 ]
    # Parts of a block.
    "$PYTHON" - <<'PY'
import json
results = json.load(open("small.json"))
for block, lists in (("expert_quantisation", ("layers", "ranking")), ("position_map", ("features", "sites"))):
    for name in lists:
        for entry in results[block][name]:
            for key in ("layer", "expert", "feature", "site", "method", "n_tokens" if name == "ranking" else ""):
                entry.pop(key, None)
json.dump(results, open("parts.json", "w"))
PY
    "$REPORT" -f html parts.json -o parts.html
    "$PYTHON" well_formed.py parts.html
    "$REPORT" parts.json > parts.md
    "$REPORT" -f svg --figure expert_quantisation parts.json > parts.svg
    [ "$(grep -c '<title>layer' parts.svg)" -eq 0 ]
    "$REPORT" old.json > old.md
    "$REPORT" -f csv old.json > old.csv
}

@test "a wrong type is one error that names file and key" {
    "$PYTHON" - <<'PY'
import copy
import json
good = json.load(open("small.json"))
def spoil(name, change):
    results = copy.deepcopy(good)
    change(results)
    json.dump(results, open(name, "w"))
spoil("w1.json", lambda r: r["massive"]["layers"][1].update(max_magnitude="big"))
spoil("w2.json", lambda r: r["sweep"]["unique"].pop())
spoil("w3.json", lambda r: r.update(links={}))
spoil("w4.json", lambda r: r["quantisation"]["sites"][0]["error"].append(1))
spoil("w5.json", lambda r: r["distributions"]["sites"][2]["magnitudes"].pop())
spoil("w6.json", lambda r: r["router"]["layers"][0]["tokens"].append(3))
spoil("w7.json", lambda r: r["attribution"]["features"][0]["made_by"][0].update(layer=-1))
spoil("w9.json", lambda r: r["model"].update(n_layers=2 ** 53))
spoil("w10.json", lambda r: r["position_map"]["n_tokens"].pop())
spoil("w11.json", lambda r: r["position_map"]["features"][1]["n_outliers"].pop())
spoil("w12.json", lambda r: r["position_map"]["sites"][2]["occurrences"].append(1))
spoil("w13.json", lambda r: r["expert_quantisation"]["layers"][1]["n_tokens"].pop())
spoil("w14.json", lambda r: r["expert_quantisation"]["layers"][3]["error"].pop())
spoil("w15.json", lambda r: r["distributions"]["sites"][3]["log2_counts"].pop())
spoil("w16.json", lambda r: r["sweep"].update(pairs=None))
spoil("w8.json", lambda r: r["llm_int8"]["unique"]["features"][0]["sites"][0].update(layer=1.5))
PY
    expect() {
        run "$REPORT" -f html "$1"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == "ol-report: $1: key \"$2"* ]] || { echo "$output"; false; }
    }
    expect w1.json 'massive.layers[1].max_magnitude": expected a number, found a string'
    expect w2.json 'sweep.unique": 4080 values, expected 4320 (thresholds x layer_fractions x position_fractions)'
    expect w3.json 'links": expected an array, found an object'
    expect w4.json 'quantisation.sites[0].error": 8 values, expected 7 (methods)'
    expect w5.json 'distributions.sites[2].magnitudes": 6 values, expected 7 (quantile_levels)'
    expect w6.json 'router.layers[0].tokens": 9 values, expected 8 (n_experts)'
    expect w15.json 'distributions.sites[3].log2_counts": 39 values, expected 40 (as the first has)'
    expect w16.json 'sweep.pairs": 0 values, expected 4320 (thresholds x layer_fractions x position_fractions)'
    expect w7.json 'attribution.features[0].made_by[0].layer" is -1, expected 0 to 9007199254740992'
    expect w9.json 'model.n_layers" is 9007199254740992, expected 0 to 4096'
    expect w10.json 'position_map.n_tokens": 21 values, expected 22 (bucket_edges)'
    expect w11.json 'position_map.features[1].n_outliers": 21 values, expected 22 (bucket_edges)'
    expect w12.json 'position_map.sites[2].occurrences": 23 values, expected 22 (bucket_edges)'
    expect w13.json 'expert_quantisation.layers[1].n_tokens": 7 values, expected 8 (n_experts)'
    expect w14.json 'expert_quantisation.layers[3].error": 48 values, expected 56 (methods x n_experts)'
    expect w8.json 'llm_int8.unique.features[0].sites[0].layer": expected an integer, found a number'
}

@test "every figure is an XML file that needs nothing else" {
    for figure in $("$REPORT" --figure help | awk '/^Of several/ { exit } /^  / { print $1 }'); do
        "$REPORT" -f svg --figure "$figure" big.json -o "one-$figure.svg"
        "$REPORT" -f svg --figure "$figure" hostile.json -o "hostile-$figure.svg"
        "$REPORT" -f svg --figure "$figure" one.json -o "tiny-$figure.svg" 2> err || grep -q 'not in these results' err
    done
    for figure in $("$REPORT" --figure help | awk 's && /^  / { print $1 } /^Of several/ { s = 1 }'); do
        "$REPORT" -f svg --figure "$figure" small.json olmoe.json dense.json -o "many-$figure.svg"
    done
    "$PYTHON" - <<'PY'
import glob
import re
import xml.etree.ElementTree as tree
names = glob.glob("*.svg")
assert len(names) >= 9 + 2 * 20, len(names)
for name in names:
    text = open(name, encoding="utf-8").read()
    root = tree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg", name
    assert root[0].tag.endswith("title") and root[0].text, name
    assert not re.search(r'nan|inf[^o"]|href|url\(|<script', text.split("</style>")[1], re.I) or "hostile" in name, name
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        for key, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            if element.get(key) is not None:
                assert -1 <= float(element.get(key)) <= most + 1, (name, element.attrib)
PY
}

@test "maps have a cell, with its value, for each number of the results" {
    for figure in expert_quantisation feature_positions site_positions; do
        "$REPORT" -f svg --figure $figure small.json -o map-$figure.svg
    done
    "$PYTHON" - <<'PY'
import json
import xml.etree.ElementTree as tree
results = json.load(open("small.json"))
name = "{http://www.w3.org/2000/svg}"
def cells(figure):
    return sorted((p.get("d").split("h")[0], p[0].text) for p in tree.parse("map-%s.svg" % figure).iter(name + "path") if len(p))
def same(found, expected):
    assert len(found) == len(expected), (len(found), len(expected))
    for (at, text), (column, row, place, value) in zip(found, sorted(expected, key=lambda e: "M%d %d" % e[:2])):
        assert at == "M%d %d" % (column, row), (at, column, row)
        head, shown = text.rsplit(": ", 1)
        assert head == place, (head, place)
        assert abs(float(shown.split()[0]) - value) <= max(0.01 * value, 0.006), (text, value)
q = results["expert_quantisation"]
same(cells("expert_quantisation"), [(l["layer"], e, "layer %d, expert %d" % (l["layer"], e), 100 * error)
     for l in q["layers"] for e, error in enumerate(l["error"][q["methods"].index("int8_token")]) if error is not None])
m = results["position_map"]
place = lambda c, kind, name: "from position %d, %s %s" % (m["bucket_edges"][c], kind, name)
same(cells("feature_positions"), [(c, i, place(c, "feature", f["feature"]), 100 * n / m["n_tokens"][c])
     for i, f in enumerate(m["features"][:48]) for c, n in enumerate(f["n_outliers"]) if n > 0])
same(cells("site_positions"), [(c, i, place(c, "site", "%d %s" % (s["layer"], s["site"])), n / m["n_tokens"][c])
     for i, s in enumerate(m["sites"]) for c, n in enumerate(s["occurrences"]) if n > 0])
PY
}

@test "a figure that cannot be drawn is an error, a wrong name a usage error" {
    run "$REPORT" -f svg --figure histograms nulls.json
    [ "$status" -eq 1 ]
    [[ "$output" == *"figure histograms: not in these results. It needs"* ]]
    for arguments in "-f svg small.json" "--figure load small.json" "-f svg --figure nothing small.json" \
                     "--table load small.json" "-f csv --table nothing small.json" "-f docx small.json" \
                     "diff small.json" "-f csv diff small.json other.json"; do
        run "$REPORT" $arguments
        [ "$status" -eq 2 ]
    done
}

@test "every table is CSV with the values of the results" {
    for table in $("$REPORT" --table help | awk '{ print $1 }'); do
        "$REPORT" -f csv --table "$table" small.json other.json olmoe.json > "$table.csv"
    done
    "$PYTHON" - <<'PY'
import csv
import json
results = json.load(open("small.json"))
def rows(name):
    return [r for r in csv.DictReader(open(name + ".csv")) if r["model"] == results["model"]["name"]]
def same(name, items, keys):
    found = rows(name)
    assert len(found) == len(items), (name, len(found), len(items))
    for row, item in zip(found, items):
        for key in keys:
            value = item[key]
            assert row[key] == "" if value is None else row[key] == value if isinstance(value, str) else float(row[key]) == value, (name, key)
same("massive_layers", results["massive"]["layers"], ["layer", "median_magnitude", "max_magnitude", "feature", "piece", "n_values"])
same("massive_features", results["massive"]["features"], ["feature", "max_magnitude", "first_layer", "at_first_token"])
same("super_experts", results["super_experts"]["experts"], ["layer", "output", "share_of_max", "share_of_median", "z", "piece", "input_column"])
same("units", [u for l in results["super_experts"]["layers"] for u in l["units"]], ["n_tokens", "gate_mean", "input", "output"])
lists = (("made by", "made_by"), ("counteracted by", "counteracted_by"), ("erased by", "erased_by"))
written = []
for f in results["attribution"]["features"]:
    for name, key in lists:
        written += [dict(w, list=name) for w in f[key]] + [dict(f["others"][key], list=name, layer=None, n_tokens=None)]
        if key == "counteracted_by":
            written += [dict(list="up to the peak", layer=None, n_tokens=None, sum=f[k], share=f[k] / f["magnitude"]) for k in ("embedding", "unknown")]
same("attribution", written, ["list", "layer", "n_tokens", "sum", "share"])
# Up to the peak, all shares are the whole.
for f in results["attribution"]["features"]:
    here = [float(r["share"]) for r in rows("attribution") if int(r["feature"]) == f["feature"] and r["list"] != "erased by"
            and r["event"] == {"massive": "where massive", "outlier": "with an occurrence", "all": "all tokens"}[f["event"]]]
    assert abs(sum(here) - 1) < 1e-9, sum(here)
same("attribution_events", results["attribution"]["features"], ["feature", "sign", "n_tokens", "at_first_token", "magnitude"])
same("writes", results["attribution"]["layers"], ["feature", "layer", "attention", "mlp"])
same("massive_life", [l for f in results["massive"]["features"] for l in f["layers"]], ["layer", "max_magnitude", "ratio", "n_massive", "n_above", "n_unknown"])
same("massive_near", results["massive"]["near"], ["feature", "max_magnitude", "max_ratio", "n_tokens", "at_first_token"])
same("massive_tokens", results["massive"]["tokens"], ["token_id", "at_first", "elsewhere", "text_at_first", "text_elsewhere"])
same("links", results["links"], ["feature", "event_tokens", "normed_median", "normed_max", "share_with_occurrence"])
same("tokens", results["tokens"]["pieces"], ["token_id", "piece", "n_tokens", "n_outliers", "per_token", "share", "base_rate", "lift"])
same("quantisation_ranking", results["quantisation"]["ranking"], ["layer", "site", "method", "error"])
same("onset", results["onset"]["features"], ["feature", "first_layer", "first_site", "last_layer", "n_sites"])
same("onset_life", [s for f in results["onset"]["features"] for s in f["sites"]], ["layer", "site", "share", "gain", "normed_rms", "stream_mean", "stream_rms"])
same("distributions", results["distributions"]["sites"], ["layer", "site", "n", "n_zero", "mean", "std", "kurtosis"])
assert [float(r["max_magnitude"]) for r in rows("distributions")] == [s["magnitudes"][-1] for s in results["distributions"]["sites"]]
flat = lambda x: [z for y in x for z in flat(y)] if isinstance(x, list) else [x]
assert [int(r["unique"]) for r in rows("sweep")] == flat(results["sweep"]["unique"])
experts = results["expert_quantisation"]
same("expert_ranking", experts["ranking"], ["method", "layer", "expert", "n_tokens", "error"])
found = rows("expert_quantisation")
for row, (l, e, m) in zip(found, [(l, e, m) for l in experts["layers"] for e in range(8) for m in range(7)]):
    assert (int(row["layer"]), int(row["expert"]), row["method"]) == (l["layer"], e, experts["methods"][m]), row
    assert int(row["n_tokens"]) == l["n_tokens"][e], row
    assert row["error"] == "" if l["error"][m][e] is None else float(row["error"]) == l["error"][m][e], row
assert len(found) == 4 * 8 * 7
places = results["position_map"]
assert [int(r["n_outliers"]) for r in rows("feature_positions")] == flat([f["n_outliers"] for f in places["features"]])
assert [int(r["occurrences"]) for r in rows("site_positions")] == flat([s["occurrences"] for s in places["sites"]])
assert [int(r["from"]) for r in rows("site_positions")] == places["bucket_edges"] * 8
for row in rows("feature_positions"):
    assert float(row["share"]) == int(row["n_outliers"]) / int(row["n_tokens"])
assert [int(r["n_tokens"]) for r in rows("loads")] == flat([l["tokens"] for l in results["router"]["layers"]])
PY
    run "$REPORT" -f csv --table massive_layers nulls.json
    [ "$status" -eq 1 ]
}

@test "a survey shows what is missing as missing" {
    grep -q 'Outlier features of 4 models' survey.html
    grep -q '3 of 4 models have both values' survey.html
    grep -q 'published: 49 pairs' survey.html
    "$PYTHON" - <<'PY'
import re
text = open("survey.html").read()
row = re.search(r'<caption>Counts</caption>.*?</table>', text, re.S).group(0).split("<tr>")[-1]
assert row.count("–") >= 9, row
PY
}

@test "diff names what was gained, lost and moved" {
    "$PYTHON" - <<'PY'
import copy
import json
a = json.load(open("small.json"))
b = copy.deepcopy(a)
features = b["llm_int8"]["unique"]["features"]
moved = features[1]
site = moved["sites"][0]
moved["sites"] = [dict(site, layer=l) for l in (0, 3)] if site["layer"] or moved["sites"][-1]["layer"] != 3 else [dict(site, layer=1)]
features[0]["feature"] = 63 if all(f["feature"] != 63 for f in features) else 62
assert sum(f["feature"] == features[0]["feature"] for f in features) == 1
gone = b["super_experts"]["experts"].pop()
b["model"]["name"] = "b"
json.dump(b, open("b.json", "w"))
PY
    "$REPORT" diff small.json b.json > diff.md
    n=$(("$("$PYTHON" -c 'import json; print(len(json.load(open("small.json"))["llm_int8"]["unique"]["features"]))')" - 2))
    grep -q "1 are gained, 1 lost, 1 moved and $n kept" diff.md
    grep -q '^2 super experts in A, 1 in B, 1 in both.$' diff.md
    grep -Eq '^\| super experts +\| +2 \| +1 \| +-1 \|$' diff.md
    "$REPORT" diff small.json small.json | grep -q '0 are gained, 0 lost, 0 moved'
    "$REPORT" diff small.json dense.json | grep -q 'features cannot be matched'
}

@test "diff names the residual sinks and the steps that only one has" {
    "$PYTHON" - <<'PY'
import copy
import json
a = json.load(open("small.json"))
b = copy.deepcopy(a)
sinks = b["residual_sinks"]["features"]
gone = next(f for f in sinks if f["kind"] == "sink")
sinks.remove(gone)
both = next(f for f in sinks if f["kind"] == "both")
both.update(kind="massive", n_layers=0, first_layer=None, last_layer=None)
new = dict(copy.deepcopy(gone), feature=max(f["feature"] for f in sinks) + 1, first_layer=2, last_layer=3)
sinks.append(new)
n_sinks = sum(f["n_layers"] > 0 for f in sinks)
b["residual_sinks"]["n_sinks"] = n_sinks + 1
json.dump(b, open("cut.json", "w"))
b["residual_sinks"]["n_sinks"] = n_sinks
steps = b["steps"]["features"][0]["steps"]
moved, weaker = steps[0], steps[1]
moved["layer"] += 1
moved["by"] = []
moved["units"] = []
weaker["share"] /= 2
b["steps"]["features"].pop(1)
json.dump(b, open("b.json", "w"))
PY
    "$REPORT" diff small.json b.json > diff.md
    "$REPORT" -f html diff small.json b.json > diff.html
    "$REPORT" -f json diff small.json b.json > diff.json
    "$REPORT" -f json diff small.json dense.json > other.json
    "$PYTHON" - <<'PY'
import html
import json
a, b = json.load(open("small.json")), json.load(open("b.json"))
diff, text, page = json.load(open("diff.json")), open("diff.md").read(), html.unescape(open("diff.html").read())
assert diff["format"] == "ol-diff" and diff["format_version"] == 1 and diff["warnings"] == []

def sinks(r):
    return {f["feature"]: f for f in r["residual_sinks"]["features"] if f["kind"] != "massive"}

def steps(r):
    return {(f["feature"], s["layer"], s["direction"]): s for f in r["steps"]["features"] for s in f["steps"]}

def maker(s):
    who = (s["by"] or s["units"] or [None])[0]
    return who and (f"expert {who['expert']}" if who["kind"] == "expert" else {"mlp": "MLP", "shared": "shared expert"}.get(who["kind"], who["kind"]))

x, y = sinks(a), sinks(b)
assert len(x.keys() - y.keys()) == 2 and len(y.keys() - x.keys()) == 1
rows = {r["feature"]: r for r in diff["residual_sinks"]}
assert rows.keys() == x.keys() | y.keys(), (rows.keys(), x.keys(), y.keys())
for f, row in rows.items():
    assert row["in_both"] == (f in x and f in y)
    for side, of in (("a", x), ("b", y)):
        for key in ("first_layer", "last_layer"):
            assert row[f"{key}_{side}"] == (of[f][key] if f in of else None), (f, key, row)
        if f in of:
            assert all(row[f"{key}_{side}"] == of[f][key] for key in ("kind", "ratio", "share")), (f, row)
p, q = steps(a), steps(b)
assert p.keys() - q.keys() and q.keys() - p.keys() and p.keys() & q.keys()
rows = {(r["feature"], r["layer"], r["direction"]): r for r in diff["steps"]}
assert rows.keys() == p.keys() | q.keys()
for key, row in rows.items():
    assert row["in_both"] == (key in p and key in q)
    for side, of in (("a", p), ("b", q)):
        assert row[f"share_{side}"] == (of[key]["share"] if key in of else None)
        assert row[f"by_{side}"] == (maker(of[key]) if key in of else None), (row, of[key])

def say(names):
    return f"{len(names)} in %s only" + (f" ({'; '.join(names)})" if names else "")

def sentence(what, both, only_a, only_b):
    return f"{what}: {both} in both, {say(only_a) % 'A'}, {say(only_b) % 'B'}."

def name_sinks(r, names):
    return [f"dimension {f['feature']}, after layers {f['first_layer']} to {f['last_layer']}"
            for f in r["residual_sinks"]["features"] if f["feature"] in names]

def name_steps(of, names):
    return [f"dimension {k[0]} {k[2]} at layer {k[1]}, by {maker(of[k]) or 'what is not recorded'}" for k in of if k in names]

for said in (sentence("Residual sinks", len(x.keys() & y.keys()), name_sinks(a, x.keys() - y.keys()), name_sinks(b, y.keys() - x.keys())),
             sentence("Steps of massive dimensions", len(p.keys() & q.keys()), name_steps(p, p.keys() - q.keys()), name_steps(q, q.keys() - p.keys()))):
    assert said in text.replace("\\", ""), (said, text)
    assert f"<p>{said}</p>" in page, said
    assert said in diff["sentences"], (said, diff["sentences"])
other = json.load(open("other.json"))
assert all(other[key] is None for key in ("features_gained", "residual_sinks", "steps")), other
PY
    "$REPORT" diff cut.json small.json | grep -q 'The results list the largest alone: one of the rest may be a sink in the other'
    "$REPORT" -f json diff small.json small.json > same.json
    "$PYTHON" -c 'import json; d = json.load(open("same.json")); assert all(r["in_both"] for k in ("super_experts", "residual_sinks", "steps") for r in d[k]) and not d["features_gained"]'
}

@test "JSON carries every block" {
    "$REPORT" -f json small.json nulls.json > report.json
    "$PYTHON" - <<'PY'
import json
models = json.load(open("report.json"))["models"]
for name, model in zip(("small.json", "nulls.json"), models):
    results = json.load(open(name))
    for block in ("router", "distributions", "massive", "super_experts", "attribution", "links", "tokens", "positions",
                  "position_map", "onset", "sweep", "uncertainty", "phase_shift", "quantisation", "expert_quantisation",
                  "co_activation", "generators", "fp4", "choices", "attention_sinks", "residual_sinks", "steps",
                  "expert_flips", "head_outputs", "residual_streams", "sites", "perplexity"):
        assert model[block] == results[block], (name, block)
PY
}

@test "results fit the schema" {
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 2 -l 64 -o demo.h5
    "$ANALYZE" demo.h5 -o demo.json
    "$PYTHON" "$TESTS/tools/check_schema.py" "$ROOT/report/ol-results.schema.json" \
        big.json hostile.json empty.json nulls.json dense.json one.json planted.json demo.json
    sed 's/"n_sites": [0-9]*/"n_sites": "eight"/' planted.json > bad.json
    run "$PYTHON" "$TESTS/tools/check_schema.py" "$ROOT/report/ol-results.schema.json" bad.json
    [ "$status" -eq 1 ]
}

@test "the schema is what the tables of fields say" {
    "$TOOLS/tests/print_schema" > printed.json
    cmp printed.json "$ROOT/report/ol-results.schema.json"
}

@test "in a browser: no overflow, no console, contrast, light and dark" {
    command -v chromium > /dev/null || skip "chromium is not installed"
    "$PYTHON" "$TESTS/tools/check_page.py" small.html planted.html hostile.html nulls.html survey.html diff.html
}
