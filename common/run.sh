#!/bin/sh
# What `make run` does, told by the variables that the Makefile exports: ol-extract, ol-analyze
# and ol-report, one after the other, with their files kept in runs/. A run that is complete
# already is not extracted again: --resume sees to that.
set -eu

if [ -d "$MODEL" ]; then
    name=$(basename "$(cd "$MODEL" && pwd)")
else
    # Of org/name@refs/pr/1: name@refs-pr-1.
    name=$(printf '%s\n' "$MODEL" | sed 's|^[^@/]*/||; s|/|-|g')
fi
run=${OUT:-runs/$name.h5}
results=${run%.h5}.json
report=${REPORT:-}
# What a terminal cannot show goes into a file.
case $FORMAT in
html | pdf) report=${report:-${run%.h5}.$FORMAT} ;;
esac

say() { printf 'run: %s\n' "$*" >&2; }

# What would be refused of the last steps' options is refused before the first, which may take hours:
# without an input a command fails, and by 2 when it is its options.
check() {
    status=0
    said=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
    if [ "$status" -eq 2 ]; then
        printf '%s\n' "$said" >&2
        exit 2
    fi
}
# The options are several words each.
# shellcheck disable=SC2086
check "$BUILD/ol-analyze" $ANALYZE_OPTIONS /dev/null
check "$BUILD/ol-report" -f "$FORMAT"

mkdir -p "$(dirname "$run")"
there=
[ ! -e "$run" ] || there=yes
say "extracting $MODEL into $run"
# The options are several words each.
# shellcheck disable=SC2086
if ! "$BUILD/ol-extract" "$MODEL" -t "$TEXT" -n "$N" -l "$L" -o "$run" --perplexity --resume \
    $EXTRACT_OPTIONS >/dev/null; then
    [ -z "$there" ] || say "$run is left as it was; OUT=another.h5 puts this run beside it"
    exit 1
fi
say "analysing it into $results"
# shellcheck disable=SC2086
"$BUILD/ol-analyze" $ANALYZE_OPTIONS "$run" -o "$results"
if [ -n "$report" ]; then
    "$BUILD/ol-report" -f "$FORMAT" "$results" -o "$report"
else
    "$BUILD/ol-report" -f "$FORMAT" "$results"
fi
say "kept: $run, $results${report:+, $report}"
