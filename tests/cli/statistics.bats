load common

# Four sites, so that the oracle reads tensors where it can.
SITES="--sites ln_attn,ln_mlp,residual_attn,residual_mlp"
CRITERION="--threshold 1.5 --min-layers 0.5 --min-positions 0.2"

extract() { # MODEL IDS OUT [OPTION...]
    "$EXTRACT" -q "$GOLDEN/$1" --ids "$2" -o "$3" --threshold 1.5 "${@:4}"
}

oracle() {
    "$PYTHON" "$TESTS/oracle/statistics.py" "$@"
}

# What a results file says but for where it comes from.
content() {
    "$PYTHON" -c '
import json, sys
r = json.load(open(sys.argv[1]))
print(json.dumps([r[k] for k in sorted(r) if k not in ("run", "input", "command_line")]))' "$1"
}

@test "the demo's statistics, as the oracle has them" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$DEMO" -t "$HELDOUT" -n 3 -l 131 --threshold 2.5 -o run.h5 $SITES
    "$ANALYZE" --threshold 2.5 --min-layers 0.1 --min-positions 0.01 run.h5 -o run.json
    oracle run.json run.h5
}

@test "models with experts, shared experts, dense layers, in both precisions" {
    cd "$BATS_TEST_TMPDIR"
    for model in qwen2_moe deepseek_v3 qwen3 llama4 nemotron_h; do
        for precision in bf16 f32; do
            extract $model "$GOLDEN/$model/ids.txt" run.h5 $SITES --precision $precision \
                --store $precision
            "$ANALYZE" $CRITERION run.h5 -o run.json
            oracle run.json run.h5
        done
    done
}

@test "parts of a run say what the whole says, whichever has the longer sequences" {
    cd "$BATS_TEST_TMPDIR"
    for model in qwen2_moe deepseek_v3 qwen3; do
        head -n 2 "$GOLDEN/$model/ids.txt" > a.txt
        tail -n +3 "$GOLDEN/$model/ids.txt" > b.txt
        extract $model "$GOLDEN/$model/ids.txt" whole.h5 $SITES
        extract $model a.txt a.h5 $SITES
        extract $model b.txt b.h5 $SITES
        "$ANALYZE" $CRITERION whole.h5 -o whole.json
        "$ANALYZE" $CRITERION a.h5 b.h5 -o parts.json
        oracle parts.json a.h5 b.h5
        content whole.json > one
        content parts.json > two
        cmp one two
    done
}

@test "the same bytes for any number of threads" {
    cd "$BATS_TEST_TMPDIR"
    extract qwen2_moe "$GOLDEN/qwen2_moe/ids.txt" run.h5
    for threads in 1 2 5; do
        "$ANALYZE" $CRITERION --threads $threads run.h5 | grep -v command_line > by-$threads
    done
    cmp by-1 by-2
    cmp by-1 by-5
}

@test "one token, one layer, one site, no tensors, another threshold, no summaries" {
    cd "$BATS_TEST_TMPDIR"
    echo 5 > one.txt
    extract qwen2_moe one.txt token.h5
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" layer.h5 --layers 1 --sites ln_mlp
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" residual.h5 --sites residual_attn
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" none.h5 --store none
    for run in token layer residual none; do
        "$ANALYZE" $CRITERION $run.h5 -o $run.json
        oracle --tables $run.json $run.h5
    done
    # Of another threshold than the summaries' is only what the tensors say.
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" other.h5
    "$ANALYZE" other.h5 -o other.json
    oracle --tables other.json other.h5
    grep -q '"onset": null' other.json
    grep -q '"phase_shift": null' other.json
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" plain.h5 --no-summaries
    "$ANALYZE" plain.h5 -o plain.json
    oracle plain.json plain.h5
}

@test "a dense model has no super experts, but writers" {
    cd "$BATS_TEST_TMPDIR"
    extract qwen3 "$GOLDEN/qwen3/ids.txt" run.h5
    "$ANALYZE" run.h5 -o run.json
    grep -q '"super_experts": null' run.json
    grep -q '"kind": "mlp"' run.json
    grep -q '"expert_quantisation": null' run.json
}

@test "massive activations, their writers and super experts are found where they were put" {
    cd "$BATS_TEST_TMPDIR"
    extract qwen3_next "$GOLDEN/qwen3_next/ids.txt" plain.h5 --store none --threshold 6
    for kind in known super many spread zero nan; do
        cp plain.h5 run.h5
        "$PYTHON" "$TESTS/oracle/plant_statistics.py" plant $kind run.h5
        "$ANALYZE" --min-positions 0.05 run.h5 -o run.json
        "$PYTHON" "$TESTS/oracle/plant_statistics.py" check $kind run.json
        oracle --tables run.json run.h5
    done
}

@test "which experts are chosen together, from the choices alone" {
    cd "$BATS_TEST_TMPDIR"
    together() { "$PYTHON" "$TESTS/oracle/co_activation.py" "$@"; }
    for model in qwen2_moe deepseek_v3 qwen3 llama4; do
        extract $model "$GOLDEN/$model/ids.txt" run.h5
        "$ANALYZE" --statistics co_activation run.h5 -o run.json
        together check run.json run.h5
    done
    head -n 2 "$GOLDEN/qwen2_moe/ids.txt" > a.txt
    tail -n +3 "$GOLDEN/qwen2_moe/ids.txt" > b.txt
    extract qwen2_moe a.txt a.h5
    extract qwen2_moe b.txt b.h5
    "$ANALYZE" --statistics co_activation a.h5 b.h5 --threads 3 -o run.json
    together check run.json a.h5 b.h5
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o known.h5
    together plant known.h5
    "$ANALYZE" --statistics co_activation known.h5 -o known.json
    together known known.json
    together check known.json known.h5
    "$REPORT" known.json | grep -q 'layer 0: expert 5$'
}

@test "attention sinks, from the tables and of planted heads" {
    cd "$BATS_TEST_TMPDIR"
    sinks() { "$PYTHON" "$TESTS/oracle/attention_sinks.py" "$@"; }
    for model in llama gpt_oss qwen3_next deepseek_v4; do
        "$PYTHON" "$TESTS/oracle/attention.py" ids $model > ids.txt
        extract $model ids.txt run.h5
        "$ANALYZE" --statistics attention_sinks,massive run.h5 -o run.json
        sinks check run.json run.h5
    done
    head -n 1 ids.txt > a.txt
    tail -n +2 ids.txt > b.txt
    extract qwen3_next a.txt a.h5
    extract qwen3_next b.txt b.h5
    "$ANALYZE" --statistics attention_sinks a.h5 b.h5 --threads 3 -o run.json
    sinks check run.json a.h5 b.h5
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o known.h5
    sinks plant known.h5
    "$ANALYZE" --statistics attention_sinks known.h5 -o known.json
    sinks known known.json
    sinks check known.json known.h5
    "$REPORT" known.json | tr '\n' ' ' >known.md
    grep -q 'Most are in layer 0: ' known.md
    grep -q 'Of the 1 tokens with a massive activation 1 are sinks of a head (100 %), 0 of them first tokens' known.md
    # Without summaries nothing is known.
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" --no-summaries -o none.h5
    "$ANALYZE" --statistics attention_sinks none.h5 -o none.json
    sinks check none.json none.h5
}

@test "residual sinks and steps of massive dimensions, from tables, tensors and planted" {
    cd "$BATS_TEST_TMPDIR"
    sinks() { "$PYTHON" "$TESTS/oracle/residual_sinks.py" "$@"; }
    steps() { "$PYTHON" "$TESTS/oracle/steps.py" "$@"; }
    both() { # RESULTS RUN...
        sinks check "$@"
        steps check "$@" --tables
    }
    STATISTICS="--statistics residual_sinks,steps"
    for model in qwen2_moe llama nemotron_h; do
        extract $model "$GOLDEN/$model/ids.txt" run.h5 $SITES --precision f32 --store f32
        "$ANALYZE" $STATISTICS run.h5 -o run.json
        both run.json run.h5
        steps check run.json run.h5
    done
    head -n 1 "$GOLDEN/qwen2_moe/ids.txt" > a.txt
    tail -n +2 "$GOLDEN/qwen2_moe/ids.txt" > b.txt
    extract qwen2_moe a.txt a.h5
    extract qwen2_moe b.txt b.h5
    "$ANALYZE" $STATISTICS a.h5 b.h5 --threads 3 -o run.json
    both run.json a.h5 b.h5
    # One token, which is a first one; one layer; nothing recorded.
    echo 5 > one.txt
    extract qwen2_moe one.txt token.h5
    extract deepseek_v3 "$GOLDEN/deepseek_v3/ids.txt" layer.h5 --layers 1
    extract qwen3 "$GOLDEN/qwen3/ids.txt" none.h5 --no-summaries
    for run in token layer none; do
        "$ANALYZE" $STATISTICS $run.h5 -o $run.json
        both $run.json $run.h5
    done
    "$REPORT" token.json | tr -s '\n ' ' ' | grep -q 'nothing tells the two apart'
    extract qwen3_next "$GOLDEN/qwen3_next/ids.txt" plain.h5 --store none --threshold 6
    for kind in known many zero nan; do
        cp plain.h5 run.h5
        "$PYTHON" "$TESTS/oracle/plant_statistics.py" plant $kind run.h5
        "$ANALYZE" $STATISTICS run.h5 -o run.json
        both run.json run.h5
    done
    cp plain.h5 run.h5
    sinks plant run.h5
    "$ANALYZE" $STATISTICS run.h5 -o run.json
    both run.json run.h5
    sinks known run.json
    "$REPORT" run.json | tr -s '\n ' ' ' > report.txt
    grep -q 'Dimension 6 is a residual sink after layer 1, where it is .* (of first ones on 0.0 %)' report.txt
    cp plain.h5 run.h5
    steps plant run.h5
    "$ANALYZE" $STATISTICS run.h5 -o run.json
    both run.json run.h5
    steps known run.json run.h5
    "$REPORT" run.json | tr -s '\n ' ' ' > report.txt
    grep -q 'Dimension 7, +, on 2 tokens: rises at layer 1 .*; falls at layer 3 by at least .* shared expert .*, behind the last layer' report.txt
}

@test "what goes into down projections, from the file and from the weights" {
    cd "$BATS_TEST_TMPDIR"
    generators() { "$PYTHON" "$TESTS/oracle/generators.py" "$@"; }
    for model in qwen2_moe deepseek_v3 qwen3; do
        extract $model "$GOLDEN/$model/ids.txt" run.h5 --precision f32 --store f32
        "$ANALYZE" $CRITERION --statistics generators run.h5 -o run.json
        generators run.json run.h5
        generators exact "$GOLDEN/$model" run.json run.h5
        extract $model "$GOLDEN/$model/ids.txt" none.h5 --store none
        "$ANALYZE" $CRITERION --statistics generators none.h5 --threads 3 -o none.json
        generators none.json none.h5
    done
    head -n 2 "$GOLDEN/qwen2_moe/ids.txt" > a.txt
    tail -n +3 "$GOLDEN/qwen2_moe/ids.txt" > b.txt
    extract qwen2_moe a.txt a.h5
    extract qwen2_moe b.txt b.h5
    "$ANALYZE" $CRITERION --statistics generators a.h5 b.h5 -o run.json
    generators run.json a.h5 b.h5
    "$REPORT" run.json > report.md
    grep -q '^## Inputs of the down projections' report.md
    "$REPORT" -f csv --table generator_layers run.json | sed -n 1p | grep -q ',layer,unit,largest,kurtosis,median$'
}

@test "four-bit formats with scales by block, with and without rotations" {
    cd "$BATS_TEST_TMPDIR"
    fp4() { "$PYTHON" "$TESTS/oracle/fp4.py" "$@"; }
    for model in qwen2_moe deepseek_v3 qwen3_next; do
        for precision in bf16 f32; do
            extract $model "$GOLDEN/$model/ids.txt" run.h5 --precision $precision --store $precision
            "$ANALYZE" --statistics fp4 --threads 3 run.h5 -o run.json
            fp4 run.json run.h5
        done
    done
    "$REPORT" run.json > report.md
    grep -q '^## Four-bit formats' report.md
    "$REPORT" -f csv --table fp4_kinds run.json | grep -q ',linear,ln_attn,'
    extract qwen2_moe "$GOLDEN/qwen2_moe/ids.txt" none.h5 --store none
    "$ANALYZE" $CRITERION --statistics fp4 none.h5 -o none.json
    fp4 none.json none.h5
    head -n 2 "$GOLDEN/qwen2_moe/ids.txt" > a.txt
    tail -n +3 "$GOLDEN/qwen2_moe/ids.txt" > b.txt
    extract qwen2_moe a.txt a.h5
    extract qwen2_moe b.txt b.h5
    "$ANALYZE" --statistics fp4 a.h5 b.h5 -o run.json
    fp4 run.json a.h5 b.h5
}

@test "four-bit formats of planted values, of NaN, infinity and zeros, of one token" {
    cd "$BATS_TEST_TMPDIR"
    fp4() { "$PYTHON" "$TESTS/oracle/fp4.py" "$@"; }
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5
    fp4 plant run.h5
    "$ANALYZE" --statistics fp4 run.h5 -o run.json
    fp4 run.json run.h5
    fp4 known run.json
    for kind in nan inf zero; do
        "$PYTHON" "$TESTS/oracle/plant_values.py" $kind run.h5
        "$ANALYZE" --statistics fp4 run.h5 -o run.json
        fp4 run.json run.h5
    done
    extract qwen3_next "$GOLDEN/qwen3_next/ids.txt" mixed.h5
    fp4 plant-kinds mixed.h5
    "$ANALYZE" --statistics fp4 mixed.h5 -o mixed.json
    fp4 mixed.json mixed.h5
    fp4 known-kinds mixed.json
    "$REPORT" mixed.json | tr '\n' ' ' | grep -Eq 'nvfp4 at ln_attn: 0 % in [0-9]+ +layers with linear attention, [0-9.]+ % in'
    echo 1 > one.txt
    extract qwen3 one.txt one.h5 --layers 0
    "$ANALYZE" --statistics fp4 one.h5 -o one.json
    fp4 one.json one.h5
    "$REPORT" one.json | grep -q '^## Four-bit formats'
}

@test "choices of routers, and what differs between two precisions, checkpoints and texts" {
    cd "$BATS_TEST_TMPDIR"
    choices() { "$PYTHON" "$TESTS/oracle/choices.py" "$@"; }
    for model in qwen3_moe deepseek_v3; do
        for precision in bf16 f32; do
            extract $model "$GOLDEN/$model/ids.txt" $precision.h5 --precision $precision
            "$ANALYZE" --statistics choices $precision.h5 -o $precision.json
            choices $precision.json $precision.h5
        done
        "$REPORT" diff f32.json bf16.json > diff.md
        choices diff f32.h5 bf16.h5 diff.md
        "$REPORT" diff f32.json f32.json | grep -q 'All choices are the same, of'
        mv f32.json $model.json
    done
    # Another checkpoint of the same shape; the weights of the first are quantised.
    extract qwen3_moe "$GOLDEN/qwen3_moe/ids.txt" a.h5
    extract qwen3_moe-int4 "$GOLDEN/qwen3_moe/ids.txt" b.h5
    for run in a b; do "$ANALYZE" --statistics choices $run.h5 -o $run.json; done
    "$REPORT" diff a.json b.json > diff.md
    choices diff a.h5 b.h5 diff.md
    "$REPORT" -f html diff a.json b.json | grep -q 'Choices that differ, by layer'
    # What cannot be compared is said.
    head -n 1 "$GOLDEN/qwen3_moe/ids.txt" > one.txt
    extract qwen3_moe one.txt one.h5
    "$ANALYZE" --statistics choices one.h5 -o one.json
    "$REPORT" diff a.json one.json | grep -q 'A and B are over other tokens'
    "$REPORT" diff qwen3_moe.json deepseek_v3.json | grep -q 'Choices cannot be compared'
    extract qwen3 "$GOLDEN/qwen3/ids.txt" dense.h5
    "$ANALYZE" --statistics choices dense.h5 -o dense.json
    choices dense.json dense.h5
    "$REPORT" diff a.json dense.json | grep -q 'One of the results has no choices of routers'
    not grep -q 'Choices of the routers' <("$REPORT" diff dense.json dense.json)
}

# What experts of a latent, or behind a norm of their own, read is not recorded.
@test "no error is given for experts that read other rows than the recorded ones" {
    cd "$BATS_TEST_TMPDIR"
    [ -n "$PYTHON" ] || skip "needs h5py"
    for model in nemotron_h-latent gemma4 nemotron_h; do
        "$EXTRACT" -q "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" -o run.h5 > name
        "$ANALYZE" run.h5 -o $model.json
        "$REPORT" $model.json > $model.md
        "$REPORT" -f html $model.json > $model.html
    done
    "$PYTHON" - <<'EOF'
import json
for name, read in ("nemotron_h-latent", "latent"), ("gemma4", "own norm"), ("nemotron_h", None):
    r = json.load(open(name + ".json"))
    assert r["model"].get("experts_read") == read, name
    assert (r["expert_quantisation"] is None) == (read is not None), name
    for page in open(name + ".md").read(), open(name + ".html").read():
        assert ("is not ln_mlp, and" in page) == (read is not None), name
        assert ("routed experts whose input suffers most" in page or "Error of quantising each expert" in page) == (read is None), name
# Layers of nemotron_h have a mixer or an MLP: one input each.
import h5py
with h5py.File("run.h5") as f:
    sites = sum(site in layer for layer in f["layers"].values() for site in ("ln_attn", "ln_mlp"))
    assert sites < 2 * len(f["layers"]) and r["model"]["n_sites"] == sites
EOF
}
