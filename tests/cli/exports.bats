load common

@test "the study's file holds every pair, the super experts' file what their code reads" {
    cd "$BATS_TEST_TMPDIR"
    "$EXTRACT" -q "$PLANTED" --ids "$IDS" -o run.h5
    "$ANALYZE" run.h5 --label arm -o run.json
    "$REPORT" -f study run.json > study.json
    "$REPORT" -f super-experts run.json > experts.json
    "$PYTHON" - <<'PY'
import json
run, study, experts = (json.load(open(f"{n}.json")) for n in ("run", "study", "experts"))
pairs = [f for b in run["llm_int8"]["batches"] for f in b["features"]]
found = study["all_systematic_outliers"]
assert len(found) == run["llm_int8"]["pairs"]["count"] == 22
for f, pair in zip(found, pairs):
    assert (f["feature_dim"], f["layer_percentage"], f["seq_percentage"], f["max_magnitude"],
            f["total_occurrences"]) == (pair["feature"], pair["layer_fraction"],
            pair["position_fraction"], pair["max_magnitude"], pair["occurrences"])
assert [b["systematic_outliers"] for b in study["batch_results"]] != []
assert sum((b["systematic_outliers"] for b in study["batch_results"]), []) == found
assert study["analysis_summary"]["total_systematic_outliers"] == 22
assert [b["batch_id"] for b in study["batch_results"]] == [1, 2, 3, 4]
config = study["run_config"]
assert config["layers"] == sorted({s["layer"] for s in run["sites"]}) == list(range(run["model"]["n_layers"]))
assert config["shard_range_inclusive"] == [0, run["n_sequences"] - 1] and config["experiment_name"] == "arm"
assert all(b["timestamp"] == run["run"]["created"] for b in study["batch_results"])
tops = {}
for f in found:
    tops.setdefault(f["feature_dim"], []).append(f["max_magnitude"])
assert {t["feature_dim"]: (t["max_magnitude"], t["occurrences"]) for t in study["top_features"]} == {
    k: (max(v), len(v)) for k, v in tops.items()}
assert [t["max_magnitude"] for t in study["top_features"]] == sorted(map(max, tops.values()), reverse=True)
# What the study's plots look for, and how.
import re
text = open("study.json").read()
assert re.search(r'"model":\s*"([^"]+)"', text[:10000]).group(1) == run["model"]["name"]
match = re.search(r'"all_systematic_outliers":\s*\[(.*?)(?:\],\s*"batch_results")', text, re.DOTALL)
assert json.loads("[" + match.group(1) + "]") == found
listed = run["super_experts"]["experts"]
assert len(experts) == len(listed) > 0
assert [(int(e["layer_index"]), int(e["expert_index"]), e["output_max"]) for e in experts] == [
    (u["layer"], u["expert"], abs(u["output"])) for u in listed]
assert [e["rank"] for e in experts] == list(range(1, len(experts) + 1))
assert all(isinstance(e[k], str) for e in experts for k in ("expert_index", "layer_index"))
PY
    run "$REPORT" -f study run.json run.json
    [ "$status" -eq 1 ]
    "$EXTRACT" -q "$GOLDEN/qwen3" --ids "$GOLDEN/qwen3/ids.txt" -o dense.h5
    "$ANALYZE" dense.h5 -o dense.json
    run "$REPORT" -f super-experts dense.json
    [ "$status" -eq 1 ]
}

@test "an importance matrix has the sums of squares of every weight's input" {
    cd "$BATS_TEST_TMPDIR"
    for model in deepseek_v3 qwen3_next qwen3_5_moe qwen2_moe gpt_oss olmoe qwen3 \
        phi3 olmo3 gemma3 gemma4 gemma4-e2b gpt2 nemotron_h nemotron_h-latent deepseek_v4 \
        deepseek_v32-chosen glm_moe_dsa; do
        ids=$GOLDEN/$model/ids.txt
        "$EXTRACT" -q "$GOLDEN/$model" --ids "$ids" --imatrix -o run.h5
        "$ANALYZE" --imatrix run.gguf run.h5
        "$PYTHON" "$TESTS/oracle/imatrix.py" run.gguf run.h5
    done
    # What is no norm's output, from the weights.
    for model in qwen2_moe deepseek_v3 qwen3; do
        "$EXTRACT" -q "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" --imatrix -o exact.h5 \
            --precision f32 --store f32
        "$PYTHON" "$TESTS/oracle/down_inputs.py" "$GOLDEN/$model" exact.h5
        [ $model != deepseek_v3 ] || "$PYTHON" "$TESTS/oracle/latent_inputs.py" "$GOLDEN/$model" exact.h5
    done
    for model in deepseek_v4 gemma4-e2b; do
        for threads in 1 3; do
            "$EXTRACT" -q "$GOLDEN/$model" --ids "$GOLDEN/$model/ids.txt" --imatrix -o exact.h5 \
                --precision f32 --threads $threads
            "$PYTHON" "$TESTS/oracle/inputs.py" "$model" exact.h5
        done
    done
    ids=$GOLDEN/qwen3/ids.txt
    # Two parts add up; threads and budgets do not show.
    head -n 2 "$ids" > a.ids
    tail -n +3 "$ids" > b.ids
    for part in a b; do
        "$EXTRACT" -q "$GOLDEN/qwen3" --ids $part.ids --imatrix -o $part.h5 --threads 3
    done
    "$ANALYZE" --imatrix parts.gguf a.h5 b.h5
    "$PYTHON" "$TESTS/oracle/imatrix.py" parts.gguf a.h5 b.h5
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" --imatrix -o one.h5 --threads 1
    "$EXTRACT" -q "$GOLDEN/qwen2_moe" --ids "$GOLDEN/qwen2_moe/ids.txt" --imatrix -o two.h5 --threads 2
    same_run one.h5 two.h5
    "$ANALYZE" --imatrix - one.h5 > one.gguf
    "$ANALYZE" --imatrix two.gguf two.h5
    cmp one.gguf two.gguf
}
