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

# Number of bytes in which two files differ; fails when their sizes do.
differing_bytes() {
    [ "$(stat -c %s "$1")" = "$(stat -c %s "$2")" ] || return 1
    cmp -l "$1" "$2" | wc -l
}

# The same but for the time of creation, the digit of --threads and the receipt, which is
# numbers of eight bytes that differ every time.
same_run() {
    n=$(differing_bytes "$1" "$2") || return 1
    [ "$n" -le 100 ] && ! h5diff "$1" "$2" | grep '^dataset'
}
