# Recordings that are small, that hold no numbers, or that are damaged. Run by `make check`
# under sanitizers.
load common

plant() {
    "$PYTHON" "$TESTS/oracle/plant_values.py" "$@"
}

report_all() {
    for format in markdown html csv json; do
        "$REPORT" -f $format "$1" > /dev/null
    done
}

@test "one layer, one token, one dimension, and values that are all the same or none" {
    cd "$BATS_TEST_TMPDIR"
    for shape in "1 1 1 1" "1 1 1 7" "2 2 70 33"; do
        for kind in edges nan inf zero; do
            dtype=bf16
            [ $kind != inf ] || dtype=f32
            if [ $kind = edges ]; then
                "$TOOLS/tests/make_activations" run.h5 $shape $dtype 3 edges
            else
                "$TOOLS/tests/make_activations" run.h5 $shape $dtype 3 plain
                plant $kind run.h5
            fi
            for options in "" "--threshold 0.5" "--threshold 1e-300 --batch-size 9"; do
                "$ANALYZE" $options run.h5 -o run.json
                report_all run.json
            done
        done
    done
}

@test "what is not a number is not known, and shown so" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" -o run.h5 --perplexity
    plant nan run.h5
    "$ANALYZE" run.h5 -o run.json
    plant unknown run.json
    "$REPORT" run.json > run.md
    grep -q '^ *0  ln_attn  *-  *-$' run.md
    grep -q "The perplexity is not known" run.md
    grep -q '^| perplexity *| - *|' run.md
    run grep -c "learnt nothing" run.md
    [ "$output" -eq 0 ]
    "$REPORT" -f csv --table sites run.json | sed -n 2p | grep -q ',0,ln_attn,,,'
    "$REPORT" -f html run.json > run.html
    run grep -c "learnt nothing" run.html
    [ "$output" -eq 0 ]
}

@test "damaged counts are refused, by name" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" -o good.h5 --threshold 1.5
    for ((i = 0; i < $(plant damages); i++)); do
        cp good.h5 bad.h5
        table=$(plant damage $i bad.h5)
        run "$ANALYZE" --threshold 1.5 bad.h5 -o bad.json
        [ "$status" -eq 1 ]
        [[ $output == "ol-analyze: bad.h5: $table: "* ]]
        [ ! -e bad.json ]
    done
}

@test "a mistake in JSON that has no place is told without one" {
    cd "$BATS_TEST_TMPDIR"
    : > empty.json
    for file in empty.json /dev/null; do
        run "$REPORT" $file
        [ "$status" -eq 1 ]
        [[ $output != *"line -1"* ]]
    done
}
