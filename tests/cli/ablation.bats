#!/usr/bin/env bats
# ol-extract --ablate: further sequences with a change on the way, and what is made of them.
load common.bash

# Sequences of a golden model that have a second token.
several() { awk 'NF > 1' "$GOLDEN/$1/ids.txt"; }

# --ablate of every arm that transformers was asked about.
arms() { awk -v model="$1" '$1 == model { print "--ablate"; print $2 }' "$TESTS/golden/ablation.txt"; }

extract_arms() {
    mapfile -t options < <(arms "$1")
    "$EXTRACT" -q "$GOLDEN/$1" --ids ids.txt --precision f32 "${options[@]}" "${@:2}"
}

check() { "$PYTHON" "$TESTS/oracle/ablation.py" "$1" "$2" "$TESTS/golden/ablation.txt" "${@:3}"; }

@test "arms have transformers' likelihoods, and counts by definition" {
    cd "$BATS_TEST_TMPDIR"
    for model in mixtral llama; do
        several $model >ids.txt
        cut -d' ' -f2- ids.txt >first.txt
        extract_arms $model -o $model.h5
        "$EXTRACT" -q "$GOLDEN/$model" --ids first.txt --precision f32 --perplexity -o first-$model.h5
        for criterion in '--threshold 6' '--threshold 6 --batch-size 4 --min-layers 0.5 --min-positions 0.2'; do
            "$ANALYZE" $criterion $model.h5 -o $model.json
            check $model.h5 $model.json $model first-$model.h5
        done
        "$ANALYZE" --threshold 5 $model.h5 | grep -q '"pairs": null'
    done
    "$REPORT" mixtral.json | grep -qE '^\| zero:3 .* 479\.0 \| +0\.074 '
    "$REPORT" -f csv --table ablation mixtral.json | grep -q 'zero:3'
    "$REPORT" -f html mixtral.json | grep -q 'id="ablation"'
}

@test "the baseline is what it is without arms, and the same on a simulated device" {
    cd "$BATS_TEST_TMPDIR"
    several mixtral >ids.txt
    extract_arms mixtral -o arms.h5 --memory 64M
    "$EXTRACT" -q "$GOLDEN/mixtral" --ids ids.txt --precision f32 --perplexity -o plain.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" plain.h5 arms.h5
    mapfile -t options < <(arms mixtral)
    "$TOOLS/tests/ol-extract-sim" -q "$GOLDEN/mixtral" --ids ids.txt --precision f32 --backend cuda \
        "${options[@]}" -o device.h5
    "$ANALYZE" device.h5 -o device.json
    check device.h5 device.json mixtral
}

@test "a run with arms that is killed goes on to the same bytes" {
    cd "$BATS_TEST_TMPDIR"
    mkdir calm killed
    run_it() {
        exec "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 4 -l 128 --ablate zero:5 --ablate drop:2.3 \
            --resume --keep-every 0 -o run.h5
    }
    (cd calm && run_it)
    cd killed
    for delay in 0.03 0.06 0.1 0.15 0.2; do
        run_it >/dev/null 2>&1 &
        pid=$!
        sleep $delay
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        [ -e run.h5 ] && break
    done
    [ -e run.h5 ] || (run_it)
    same_run ../calm/run.h5 run.h5
}

@test "arms that make no sense are refused by name" {
    cd "$BATS_TEST_TMPDIR"
    several mixtral >ids.txt
    refuses() { # STATUS ARM TEXT
        run "$EXTRACT" "$GOLDEN/mixtral" --ids ids.txt --ablate "$2" -o run.h5
        echo "$output"
        [ "$status" -eq "$1" ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"--ablate $2: "*"$3"* ]]
        [ ! -e run.h5 ]
        [ ! -e run.h5.partial ]
    }
    refuses 1 zero:36 'no dimension 36, the model has 0-35'
    refuses 1 drop:9.1 'no layer 9, the model has 0-2'
    refuses 1 drop:1.9 'no expert 9, the model has 0-4'
    # What no model could have.
    refuses 2 mean:1,x "'mean:1,x' is none of zero:DIMENSION"
    refuses 2 drop:1 "'drop:1' is none of zero:DIMENSION"
    refuses 2 zero 'is none of zero:DIMENSION'
    refuses 2 zero:1+ 'is none of zero:DIMENSION'
    echo 5 >>ids.txt
    refuses 1 first 'has 1 tokens, at least 2 are needed'
    run "$EXTRACT" "$GOLDEN/llama" --ids ids.txt --ablate drop:0.1 -o run.h5
    [[ $output == *'layer 0 has no routed experts'* ]]
    run "$EXTRACT" "$GOLDEN/mixtral" --ids ids.txt --ablate first --no-summaries -o run.h5
    [ "$status" -eq 2 ]
}

@test "arms are made of what an analysis found, of the same model alone" {
    cd "$BATS_TEST_TMPDIR"
    several mixtral >ids.txt
    extract_arms mixtral -o run.h5
    "$ANALYZE" run.h5 -o run.json
    run "$EXTRACT" "$GOLDEN/mixtral" --ids ids.txt --ablate-from run.json -o none.h5
    [ "$status" -eq 1 ] && [[ $output == *'neither massive dimensions nor super experts'* ]] ||
        [[ $output == *'drop:'* ]]
    "$PYTHON" - <<'PY'
import json
results = json.load(open("run.json"))
dimension = {"feature": 7, "max_magnitude": 900.0, "max_layer": 1, "max_ratio": 2000.0, "n_values": 1, "n_tokens": 1,
             "at_first_token": 1, "n_layers": 1, "first_layer": 1, "last_layer": 1, "above_until": None,
             "above_until_at_most": None, "tokens": [], "layers": []}
results["massive"]["features"] = [dimension, dict(dimension, feature=2)]
unit = {"layer": 1, "kind": "expert", "expert": 3, "n_tokens": 5}
results["super_experts"]["experts"] = [unit, dict(unit, kind="shared", expert=None)]
json.dump(results, open("found.json", "w"))
PY
    run "$EXTRACT" "$GOLDEN/mixtral" --ids ids.txt --ablate-from found.json --ablate first -o found.h5
    echo "$output"
    [ "$status" -eq 0 ]
    arms=$(h5dump -d /ablation/arms found.h5 | grep '(0)')
    [[ $arms == *'"first", "zero:7,2", "mean:7,2", "drop:1.3"'* ]]
    run "$EXTRACT" "$GOLDEN/llama" --ids ids.txt --ablate-from found.json -o other.h5
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *'is of another model'* ]]
}
