# For tests of reports: results of a planted file, made once for a suite.
load common

setup_file() {
    load report
    cd "$BATS_FILE_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --perplexity -o planted.h5
    "$ANALYZE" planted.h5 -o planted.json
    sed 's/"name": "planted"/"name": "a|b, \\"c\\""/' planted.json > other.json
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# The section of report.md, or of another file, that begins with a heading.
section() {
    awk -v name="$1" '/^##+ / { on = $0 ~ "^#+ " name "$" } on' "${2:-report.md}"
}
