# Shared by the command-line tests. BUILD: where the tools are.
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
case ${BUILD:-build} in
/*) TOOLS=$BUILD ;;
*) TOOLS=$ROOT/${BUILD:-build} ;;
esac
EXTRACT=$TOOLS/ol-extract
ANALYZE=$TOOLS/ol-analyze
REPORT=$TOOLS/ol-report
PLANTED=$ROOT/data/planted
DEMO=$ROOT/data/demo
IDS=$PLANTED/ids.txt
TESTS=$ROOT/tests
GOLDEN=$TESTS/golden/models
export HELDOUT=$DEMO/heldout.txt

# A Python with h5py: Debian's, whatever else comes first in PATH.
PYTHON=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import h5py' 2>/dev/null; then
        PYTHON=$candidate
        break
    fi
done

# Whether the tools were built with sanitizers.
sanitized() { grep -q __asan_init "$EXTRACT"; }

# The first token of a file of ids, repeated: a sequence whose routers choose few experts.
same_token() { # IDS LENGTH
    awk -v n="$2" 'NR == 1 { for (i = 0; i < n; i++) printf "%s ", $1; print "" }' "$1"
}

# The same to the last byte but for what tells of the run itself.
same_run() {
    "$PYTHON" "$TESTS/oracle/same_run.py" "$1" "$2"
}
