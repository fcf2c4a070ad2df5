# Figures as files, and pages that a browser prints.
load report

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
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
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
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    { echo %PDF-; cat page.html; } | cmp - page.pdf
    [ -z "$(ls folder)" ]
    touch fails
    TMPDIR=$PWD/folder PATH=$PWD/browser run "$REPORT" -f pdf planted.json -o other.pdf
    [ "$status" -eq 1 ]
    [ "$output" = "ol-report: google-chrome failed" ]
    [ ! -e other.pdf ]
    [ -z "$(ls folder)" ]
    PATH=/nowhere run "$REPORT" -f pdf planted.json -o other.pdf
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"needs a browser: none of chromium, "* ]]
    [ ! -e other.pdf ]
    if command -v chromium >/dev/null; then
        "$REPORT" -f pdf planted.json -o page.pdf
        grep -aq '^%PDF-' page.pdf && grep -aq '/Type /Page\b' page.pdf
    fi
}
