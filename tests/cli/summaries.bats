# Summaries without tensors: gathered where the rows are, on simulated devices.
# Long: starts early.
load common

SIM=$TOOLS/tests/ol-extract-sim
FAMILIES="qwen3_moe deepseek_v3 llama4 gpt_oss-mxfp4 qwen3_next llama nemotron_h-latent"

# Under a sanitizer every run takes as long as ten.
sanitized && FAMILIES="qwen3_moe gpt_oss-mxfp4"

# run_golden MODEL FILE OPTION...
run_golden() {
    "$SIM" -q "$GOLDEN/$1" --ids "$GOLDEN/$1/ids.txt" -o "$2" --backend cuda --threshold 1.5 --keep-every 0 "${@:3}"
}

same() { "$PYTHON" "$TESTS/oracle/same_datasets.py" "$@"; }

@test "summaries: the same with tensors and without, which then do not pass the link" {
    cd "$BATS_TEST_TMPDIR"
    for model in $FAMILIES; do
        run_golden $model all.h5
        run_golden $model none.h5 --store none
        same none.h5 all.h5 tensors
        rm ./*.h5
    done
    run_golden qwen3_moe all.h5 --precision f32
    run_golden qwen3_moe none.h5 --precision f32 --store none
    same none.h5 all.h5 tensors
}

@test "summaries: the same from several devices, within any memory, whenever these work" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=3
    for model in $FAMILIES; do
        run_golden $model one.h5 --sites ln_attn,ln_mlp,residual_attn
        CUDASIM_SCHEDULE=2 run_golden $model three.h5 --store none --devices 2,0,1
        same three.h5 one.h5
        rm ./*.h5
    done
    run_golden qwen3_moe one.h5
    run run_golden qwen3_moe none.h5 --store none --memory 2M
    [ "$status" -eq 1 ]
    least=${output##* }
    CUDASIM_MIB=${least%M} run_golden qwen3_moe none.h5 --store none --memory "$least"
    same none.h5 one.h5
}

@test "attention: what keys receive and heads put out, against transformers; threads and devices do not show" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=2
    attention() { "$PYTHON" "$TESTS/oracle/attention.py" "$@"; }
    mixed() { "$PYTHON" "$TESTS/oracle/mixed_heads.py" "$@"; }
    for model in llama qwen3-sliding gpt_oss llama4 deepseek_v3 qwen3_next deepseek_v4 deepseek_v4-nested deepseek_v4-fp4; do
        attention ids $model > ids.txt
        run=("$GOLDEN/$model" --ids ids.txt --store none -q)
        "$EXTRACT" "${run[@]}" --precision f32 --backend cpu --threads 1 -o one.h5
        "$EXTRACT" "${run[@]}" --precision f32 --backend cpu --threads 3 --imatrix -o three.h5
        "$SIM" "${run[@]}" --precision f32 --backend cuda -o device.h5
        for file in one three device; do
            attention compare $model $file.h5
            case $model in deepseek_v4*) ;; *) mixed compare $model $file.h5 ;; esac
        done
        "$ANALYZE" --statistics head_outputs one.h5 -o one.json
        mixed check one.json one.h5
        h5diff one.h5 three.h5 /layers/000/summary/attention || [ $model = qwen3_next ]
        case $model in llama | gpt_oss | deepseek_v4)
            "$SIM" "${run[@]}" --backend cuda -o device.h5
            "$SIM" "${run[@]}" --backend cuda --devices 1,0 -o devices.h5
            same devices.h5 device.h5 ;;
        esac
        rm ./*.h5
    done
    # Layers of Mamba-2 have heads too, those of an MLP alone none.
    mixed ids nemotron_h > ids.txt
    run=("$GOLDEN/nemotron_h" --ids ids.txt --store none -q --precision f32)
    "$EXTRACT" "${run[@]}" --backend cpu -o one.h5
    "$SIM" "${run[@]}" --backend cuda -o device.h5
    mixed compare nemotron_h one.h5
    mixed compare nemotron_h device.h5
    # An ablation's arms are no part of it, nor layers that are not recorded.
    attention ids llama > ids.txt
    "$EXTRACT" -q "$GOLDEN/llama" --ids ids.txt --precision f32 --ablate first --layers 1 -o arms.h5
    "$EXTRACT" -q "$GOLDEN/llama" --ids ids.txt --precision f32 -o plain.h5
    h5diff arms.h5 plain.h5 /layers/001/summary/attention
    h5diff arms.h5 plain.h5 /layers/001/summary/mixed_heads
    # A run's parts, its tables on disk when it is killed, and a run that goes on.
    head -n 1 ids.txt > a.txt
    tail -n +2 ids.txt > b.txt
    "$EXTRACT" -q "$GOLDEN/llama" --ids a.txt --precision f32 -o a.h5
    "$EXTRACT" -q "$GOLDEN/llama" --ids b.txt --precision f32 -o b.h5
    "$ANALYZE" --statistics head_outputs a.h5 b.h5 -o parts.json
    mixed check parts.json a.h5 b.h5
}

@test "attention: a run that stopped on the way keeps its tables when it goes on" {
    cd "$BATS_TEST_TMPDIR"
    "$PYTHON" "$TESTS/oracle/attention.py" ids gpt_oss > ids.txt
    run=("$GOLDEN/gpt_oss" --ids ids.txt --store none -q --backend cuda --precision f32 --keep-every 0)
    "$SIM" "${run[@]}" -o all.h5
    resumed=0
    for call in 900 1200 1500 1800; do
        rm -f none.h5*
        CUDASIM_FAILURE=$call run "$SIM" "${run[@]}" -o none.h5
        [ "$status" -eq 1 ] || break # past the last call
        [ -e none.h5.partial.state ] || continue
        # What is there of the layers before stays: it is not computed again.
        kept=$("$PYTHON" - <<'PY'
import h5py
with h5py.File("none.h5.partial") as f, h5py.File("all.h5") as whole:
    there = [n for n in sorted(f["layers"]) if f[f"layers/{n}/summary/attention/received"][...].any()]
    for n in there[:-1]:
        for table in ("attention/heads", "attention/received", "mixed_heads", "rounded/sample", "rounded/choices"):
            name = f"layers/{n}/summary/{table}"
            assert f[name][...].tobytes() == whole[name][...].tobytes(), name
    print(len(there))
PY
        )
        "$SIM" "${run[@]}" -o none.h5 --resume
        same none.h5 all.h5
        "$PYTHON" "$TESTS/oracle/attention.py" compare gpt_oss none.h5
        [ "$kept" -lt 2 ] || resumed=$((resumed + 1))
    done
    echo "$resumed resumed behind a layer, call $call"
    [ "$resumed" -ge 1 ]
}

@test "attention: with the special token that a tokenizer puts in front, and without" {
    cd "$BATS_TEST_TMPDIR"
    mkdir model
    ln -s "$DEMO"/* model/
    rm model/tokenizer.json
    "$PYTHON" - "$DEMO/tokenizer.json" <<'PY'
import json, sys
t = json.load(open(sys.argv[1]))
token = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
text = lambda name, type_id: {"Sequence": {"id": name, "type_id": type_id}}
t["post_processor"] = {"type": "TemplateProcessing", "single": [token, text("A", 0)], "pair": [token, text("A", 0), token, text("B", 1)],
                       "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [2046], "tokens": ["<|im_start|>"]}}}
json.dump(t, open("model/tokenizer.json", "w"))
PY
    for bos in auto none; do
        "$EXTRACT" -q model -t "$HELDOUT" -n 3 -l 100 --bos $bos --backend cpu -o $bos.h5
        "$ANALYZE" --statistics attention_sinks,massive,expert_flips $bos.h5 -o $bos.json
        "$PYTHON" "$TESTS/oracle/attention_sinks.py" check $bos.json $bos.h5
        "$PYTHON" "$TESTS/oracle/rounded.py" check $bos.json $bos.h5
        "$EXTRACT" -q model -t "$HELDOUT" -n 3 -l 100 --bos $bos --tokenize > $bos.txt
        # The tables are those of the ids, whoever put the first one there.
        "$EXTRACT" -q model --ids $bos.txt --backend cpu -o ids.h5
        same ids.h5 $bos.h5
    done
    [ "$(cut -d' ' -f1 auto.txt | sort -u)" = 2046 ]
    [ "$(grep -c '^2046 ' none.txt)" -eq 0 ]
    [ "$(cut -d' ' -f2-51 auto.txt | head -n 1)" = "$(cut -d' ' -f1-50 none.txt | head -n 1)" ]
    "$PYTHON" - <<'PY'
import json
a, b = (json.load(open(n + ".json")) for n in ("auto", "none"))
assert (a["attention_sinks"]["bos"], b["attention_sinks"]["bos"]) == (True, False)
# All first tokens are one row of the model then.
assert (a["expert_flips"]["sample_first"], b["expert_flips"]["sample_first"]) == (1, 3)
for layer in a["attention_sinks"]["layers"]:
    for head in layer["heads"]:
        assert head["first"] is not None
PY
    "$REPORT" auto.json | tr '\n' ' ' | grep -q 'Sequences begin with a special token'
    "$REPORT" none.json | tr '\n' ' ' | grep -q 'Sequences begin without a special token'
}

@test "routers: what they choose when their inputs are rounded, against transformers" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=3
    rounded() { "$PYTHON" "$TESTS/oracle/rounded.py" "$@"; }
    for model in qwen3_moe deepseek_v3 glm4_moe gpt_oss llama4 gemma4-text nemotron_h-latent; do
        rounded ids $model > ids.txt
        run=("$GOLDEN/$model" --ids ids.txt --store none -q)
        "$EXTRACT" "${run[@]}" --precision f32 --backend cpu --threads 1 -o one.h5
        "$SIM" "${run[@]}" --precision f32 --backend cuda -o device.h5
        rounded compare $model one.h5
        rounded compare $model device.h5
        "$ANALYZE" --statistics expert_flips one.h5 -o one.json
        rounded check one.json one.h5
        rm ./*.h5
    done
    # Devices, threads and parts of a run do not show; nor does what is not recorded.
    rounded ids deepseek_v3 > ids.txt
    run=("$GOLDEN/deepseek_v3" --ids ids.txt --store none -q)
    "$SIM" "${run[@]}" --backend cuda -o device.h5
    CUDASIM_SCHEDULE=2 "$SIM" "${run[@]}" --backend cuda --devices 2,0,1 -o devices.h5
    same devices.h5 device.h5
    "$EXTRACT" "${run[@]}" --backend cpu -o whole.h5
    "$EXTRACT" "${run[@]}" --backend cpu --threads 3 --layers 2 -o third.h5
    h5diff whole.h5 third.h5 /layers/002/summary/rounded
    sed -n 1p ids.txt > a.txt
    sed -n 2,3p ids.txt > b.txt
    "$EXTRACT" -q "$GOLDEN/deepseek_v3" --ids a.txt -o a.h5
    "$EXTRACT" -q "$GOLDEN/deepseek_v3" --ids b.txt -o b.h5
    "$ANALYZE" --statistics expert_flips whole.h5 -o whole.json
    "$ANALYZE" --statistics expert_flips a.h5 b.h5 -o parts.json
    rounded check parts.json a.h5 b.h5
    "$PYTHON" -c 'import json; a, b = (json.load(open(n + ".json"))["expert_flips"] for n in ("whole", "parts")); assert a == b'
    "$REPORT" whole.json | grep -q '^- nvfp4: '
}

@test "summaries: the same when every value is an occurrence, and when none is" {
    cd "$BATS_TEST_TMPDIR"
    for threshold in 1e-30 1e30; do
        for precision in bf16 f32; do
            run_golden qwen3_moe all.h5 --precision $precision --threshold $threshold \
                --sites ln_attn,ln_mlp,residual_attn,residual_mlp --store f32
            run_golden qwen3_moe none.h5 --precision $precision --threshold $threshold --store none
            same none.h5 all.h5
            # Of values rounded to bf16 the tensors' are those of f32's alone.
            [ $precision = f32 ] || "$PYTHON" "$TESTS/oracle/summary.py" all.h5 0.5
            "$EXTRACT" -q "$GOLDEN/qwen3_moe" --ids "$GOLDEN/qwen3_moe/ids.txt" -o cpu.h5 --backend cpu \
                --precision $precision --threshold $threshold
            "$EXTRACT" -q "$GOLDEN/qwen3_moe" --ids "$GOLDEN/qwen3_moe/ids.txt" -o cpu-none.h5 \
                --backend cpu --precision $precision --threshold $threshold --store none
            same cpu-none.h5 cpu.h5
            rm ./*.h5
        done
    done
}

@test "summaries: of sequences that differ, in several blocks" {
    cd "$BATS_TEST_TMPDIR"
    awk 'BEGIN { n = split("700 100 650 1 333 700 512 66", lengths)
                 for (s = 1; s <= n; s++)
                     for (i = 1; i <= lengths[s]; i++)
                         printf "%d%s", (i * i + 97 * s) % 2048, i < lengths[s] ? " " : "\n" }' > ids.txt
    for threads in 1 3; do
        "$EXTRACT" -q "$DEMO" --ids ids.txt -o $threads.h5 --backend cpu --threads $threads --threshold 2 \
            --layers 1,2 --sites ln_attn,ln_mlp,residual_attn,residual_mlp
    done
    "$PYTHON" "$TESTS/oracle/summary.py" 1.h5 0.5
    "$EXTRACT" -q "$DEMO" --ids ids.txt -o none.h5 --backend cpu --threshold 2 --layers 1,2 --store none
    same 3.h5 1.h5
    same none.h5 1.h5
}

@test "summaries: a run without tensors, killed again and again, ends with the same" {
    cd "$BATS_TEST_TMPDIR"
    export CUDASIM_DEVICES=2
    run_golden qwen3_next all.h5
    # exec: the signal must hit the tool, not a shell around it.
    run_none() {
        exec "$SIM" -q "$GOLDEN/qwen3_next" --ids "$GOLDEN/qwen3_next/ids.txt" -o none.h5 \
            --backend cuda --threshold 1.5 --store none --devices 0,1 --resume --keep-every 0
    }
    kills=0
    for delay in 0.15 0.25 0.35 0.45 0.55; do
        run_none >/dev/null 2>&1 &
        pid=$!
        sleep $delay
        if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
        wait $pid 2>/dev/null || true
        [ -e none.h5 ] && break
    done
    echo "$kills kills"
    [ "$kills" -ge 1 ]
    [ -e none.h5 ] || (run_none)
    same none.h5 all.h5
    # And one that fails on the way, whatever call it is that fails.
    resumed=0
    for call in 1200 2000 2600 3000 3400; do
        rm -f none.h5
        CUDASIM_FAILURE=$call run run_golden qwen3_next none.h5 --store none --devices 0,1
        [ "$status" -eq 1 ] || break # past the last call
        [ -e none.h5.partial ] || continue
        run_golden qwen3_next none.h5 --store none --devices 0,1 --resume --keep-every 0
        same none.h5 all.h5
        resumed=$((resumed + 1))
    done
    echo "$resumed resumed, call $call"
    [ "$resumed" -ge 1 ]
}
