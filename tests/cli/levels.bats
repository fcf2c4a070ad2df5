# Keys that may stand outside and in text_config: which of the two counts.
load common

setup() {
    cd "$BATS_TEST_TMPDIR"
    [ -n "$PYTHON" ] || skip "needs h5py"
    export PYTHONPATH=$TESTS/tools
}

# change GOLDEN PROGRAM: model, a golden whose config (c) and tensors (t: name -> type, shape, bytes)
# a program changed.
change() {
    rm -rf model
    "$PYTHON" - "$GOLDEN/$1" "$2" <<'PY'
import json, os, sys
import fuse_experts as f
c = json.load(open(sys.argv[1] + "/config.json"))
t = f.load(sys.argv[1] + "/model.safetensors")
exec(sys.argv[2])
os.mkdir("model")
json.dump(c, open("model/config.json", "w"))
f.save("model/model.safetensors", t)
PY
    cp "$GOLDEN/$1/ids.txt" model
}

f32() { "$EXTRACT" -q --precision f32 --store f32 --perplexity model --ids model/ids.txt -o "$1"; }

# Outside nothing, true, false; in each of these, inside the same: whether the class of transformers
# 5.24 ties the head to the embeddings (1), so that a file without a head is a whole one.
@test "tied embeddings are where the class of transformers looks for them" {
    while read -r model ties; do
        i=0
        for outside in None True False; do
            for inside in None True False; do
                echo "$model: outside $outside, inside $inside"
                change "$model" "
for place, value in (c, $outside), (c['text_config'], $inside):
    place.pop('tie_word_embeddings', None)
    if value is not None:
        place['tie_word_embeddings'] = value
for name in [name for name in t if 'lm_head' in name]:
    del t[name]"
                run "$EXTRACT" -q --plan model -n 1 -l 8 --perplexity
                [ "$status" -eq $((1 - ${ties:$i:1})) ]
                [ "$status" -eq 0 ] || [[ $output == *"looked for: "*lm_head.weight ]]
                i=$((i + 1))
            done
        done
    done <<'END'
kimi_k25 111111000
llama4 010010010
glm4v_moe 010111010
qwen3_vl_moe 000111000
qwen3_5_moe 000111000
qwen3_5 000111000
gemma3 111111000
gemma4 111111000
mistral3 111111000
END
}

# transformers ties what is in the file twice only where it is the same.
@test "a head that is stored is used, whatever config.json says of it" {
    for name in qwen3_moe-tied qwen3_5; do
        twice="
e = [name for name in t if name.endswith('embed_tokens.weight')][0]
type, shape, data = t[e]
t['lm_head.weight'] = (type, shape, data)"
        other="
import numpy as np
$twice
kind = np.float32 if type == 'F32' else np.uint16
t['lm_head.weight'] = (type, shape, np.frombuffer(data, kind).reshape(shape)[::-1].tobytes())"
        change $name ""
        f32 tied.h5
        change $name "$twice"
        f32 twice.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" tied.h5 twice.h5
        "$EXTRACT" -q --plan model -n 1 -l 8 > twice.json
        change $name "$other"
        f32 other.h5
        not "$PYTHON" "$TESTS/oracle/same_datasets.py" tied.h5 other.h5
        change $name "$other
c['tie_word_embeddings'] = False"
        f32 apart.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" other.h5 apart.h5
        rm -- *.h5
    done
    # Parameters are counted as config.json has them, where it says so in one place.
    "$EXTRACT" -q --plan "$GOLDEN/qwen3_moe-tied" -n 1 -l 8 > tied.json
    change qwen3_moe-tied "$twice"
    "$EXTRACT" -q --plan model -n 1 -l 8 > twice.json
    for file in tied twice; do
        "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["model"]["total_parameters"])' $file.json
    done | uniq | wc -l | grep -qx 1
}

@test "a quantization_config outside counts before that of the text model" {
    change kimi_k25 ""
    f32 inside.h5
    change kimi_k25 "c['quantization_config'] = c['text_config'].pop('quantization_config')"
    f32 outside.h5
    "$PYTHON" "$TESTS/oracle/same_datasets.py" inside.h5 outside.h5
    for left in '{"quant_method": "fp8", "weight_block_size": [16, 12]}' '{"quant_method": "bitsandbytes"}'; do
        change kimi_k25 "
import json
c['quantization_config'] = c['text_config']['quantization_config']
c['text_config']['quantization_config'] = json.loads('$left')"
        f32 both.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" inside.h5 both.h5
    done
}

@test "the text model of a wrapper runs alone, under the names that it has then" {
    for name in qwen3_vl_moe glm4v_moe glm4v_moe-fp8; do
        change $name ""
        f32 inside.h5
        change $name "
ties = c.get('tie_word_embeddings', False)
c = c['text_config'] | {k: c[k] for k in ['quantization_config'] if k in c} | {'tie_word_embeddings': ties}
t = {n.replace('model.language_model.', 'model.'): x for n, x in t.items() if 'visual' not in n}"
        f32 alone.h5
        "$PYTHON" "$TESTS/oracle/same_datasets.py" inside.h5 alone.h5
    done
}

# transformers gives the text model what is in text_config, and nothing else: what stands outside is
# passed over, or refused by name where it would change the computation of a model that reads it.
@test "other keys count in text_config alone" {
    for name in qwen3_vl_moe gemma3 kimi_k25; do
        change $name ""
        f32 inside.h5
        for key in eos_token_id=5 torch_dtype="'float16'" dtype="'float16'" vocab_size=7 rms_norm_eps=0.5 \
            hidden_size=5 num_hidden_layers=1 rope_theta=7.0 "rope_scaling=dict(rope_type='linear', factor=3.0)" \
            "rope_parameters=dict(rope_type='linear', factor=3.0, rope_theta=7.0)"; do
            change $name "c |= dict($key)"
            if f32 both.h5 2> messages; then
                "$PYTHON" "$TESTS/oracle/same_datasets.py" inside.h5 both.h5
            else
                grep -q "key \"${key%%=*}[\".]" messages
            fi
        done
        # A copy says nothing new.
        change $name "
for key in ('hidden_size', 'num_hidden_layers', 'num_attention_heads', 'vocab_size', 'rms_norm_eps'):
    c[key] = c['text_config'][key]"
        f32 both.h5 2> messages
        [ ! -s messages ]
        "$PYTHON" "$TESTS/oracle/same_datasets.py" inside.h5 both.h5
    done
}
