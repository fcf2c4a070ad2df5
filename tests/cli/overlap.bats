# Weights come while the device computes, on a simulated one whose link and products take
# time by a clock of its own: how fast this machine is shows in none of the numbers.
load common

# overlap MOST LINKS OPTION...: for each link the whole run takes at most MOST times as
# long as what takes longer of the link and the computing. What the disk's readers have
# not read yet is sent later: so one try of three has to show it.
overlap() {
    for try in 1 2 3; do
        BUILD="$TOOLS" LINKS="$2" "$TESTS/bench/overlap" "${@:3}" >table
        cat table
        awk -v most="$1" -v links="$2" '
            NR > 1 && $1 > 0 { n++; if ($NF > most || $NF < 1) over = 1 }
            END { exit over || n != split(links, all, " ") }' table && return 0
    done
    return 1
}

@test "overlap: a run takes at most 1.2 times as long as its link or its computing" {
    cd "$BATS_TEST_TMPDIR"
    overlap 1.2 "500 750 1000" --no-summaries
}

@test "overlap: so does one with summaries" {
    cd "$BATS_TEST_TMPDIR"
    overlap 1.2 "500 750 1000"
}
