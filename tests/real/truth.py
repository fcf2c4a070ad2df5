#!/usr/bin/env python3
"""What ol-analyze says of the model of make_model.py, beside torch: truth.py DENSE RUN.h5 RESULTS.json SUMMARIES.json

All values of the stream, and all that is written into it, are computed again by the dense
model in float32; the experts' writes are the products of their own neurons. Nothing comes
from the recording but the token ids. RESULTS is of tensors, SUMMARIES of the summaries alone."""
import json
import sys

import h5py
import numpy as np
import torch
from transformers import AutoModelForCausalLM

EXPERTS = 4


class Truth:
    """Of every token (row): normed [sites][rows, dims], rounded to bf16 as occurrences are; stream [layers + 1][rows, d], and at dimensions of interest the writes."""

    def __init__(self, folder, ids, dims):
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.layers = self.model.model.layers
        self.dims, self.ids = dims, ids
        self.length = ids.shape[1]
        self.stream, self.normed, self.attention, self.experts = [], [], [], []
        # Of what goes into each expert's down projection: sums of four powers, and the largest
        # magnitude of each column with its row.
        self.powers = np.zeros((len(self.layers), EXPERTS, 4))
        self.largest = [[[] for _ in range(EXPERTS)] for _ in self.layers]
        for row in ids:
            self.run(torch.tensor(row[None].astype(np.int64)))
        for name in ("stream", "normed", "attention", "experts"):
            parts = getattr(self, name)
            setattr(self, name, np.concatenate(parts, axis=1))
        self.n = self.stream.shape[1]

    def run(self, tokens):
        stream, normed, attention, experts, hooks = [], [], [], [], []
        for number, layer in enumerate(self.layers):
            down = layer.mlp.down_proj

            def neurons(_, given, down=down, number=number):
                x = given[0][0]
                for e, part in enumerate(x.bfloat16().double().chunk(EXPERTS, 1)):
                    self.powers[number, e] += [(part**k).sum().item() for k in (1, 2, 3, 4)]
                    self.largest[number][e].append([t.numpy() for t in part.abs().max(0)])
                w = down.weight[self.dims]
                experts.append(torch.stack([a @ b.T for a, b in zip(x.chunk(EXPERTS, 1), w.chunk(EXPERTS, 1))], -1).numpy())

            hooks.append(layer.register_forward_pre_hook(lambda _, a: stream.append(a[0][0].numpy().copy())))
            hooks.append(layer.self_attn.register_forward_hook(lambda _, a, y: attention.append(y[0][0][:, self.dims].numpy().copy())))
            hooks.append(down.register_forward_pre_hook(neurons))
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                hooks.append(norm.register_forward_hook(lambda _, a, y: normed.append(y[0][:, self.dims].bfloat16().float().numpy())))
        hooks.append(self.model.model.norm.register_forward_pre_hook(lambda _, a: stream.append(a[0][0].numpy().copy())))
        with torch.no_grad():
            self.model.model(tokens)
        for hook in hooks:
            hook.remove()
        self.stream.append(np.stack(stream))
        self.normed.append(np.stack(normed))
        self.attention.append(np.stack(attention))
        self.experts.append(np.stack(experts))

    def after(self, layer):
        return self.stream[layer + 1]


def near(path, found, expected, relative=2e-3, absolute=0.0):
    assert abs(found - expected) <= absolute + relative * abs(expected), f"{path}: {found}, expected {expected}"


def massive_places(truth):
    """Where |x| > 100 and >= 1000 times the median: {dimension: {row: [layers]}}."""
    places = {}
    for l in range(len(truth.layers)):
        x = np.abs(truth.after(l))
        for row, f in np.argwhere((x > 100) & (x >= 1000 * np.median(x))):
            places.setdefault(int(f), {}).setdefault(int(row), []).append(l)
    return places


def check_massive(truth, block, places):
    assert [f["feature"] for f in block["features"]] == sorted(places, key=lambda f: -max(np.abs(truth.after(l)[:, f]).max() for l in range(len(truth.layers))))
    for f in block["features"]:
        d, rows = f["feature"], places[f["feature"]]
        assert f["n_tokens"] == len(rows) and f["n_values"] == sum(map(len, rows.values())), f
        assert f["at_first_token"] == sum(row % truth.length == 0 for row in rows), f
        last = max(l for l in range(len(truth.layers)) for row in rows if abs(truth.after(l)[row, d]) > 100)
        assert f["above_until"] <= last <= f["above_until_at_most"], (d, last)
        maxima = [float(np.abs(truth.after(l)[:, d]).max()) for l in range(len(truth.layers))]
        near(f"{d} maximum", f["max_magnitude"], max(maxima))
        for l, life in enumerate(f["layers"]):
            near(f"{d} after {l}", life["max_magnitude"], maxima[l], 5e-3)
            above = sum(abs(truth.after(l)[row, d]) > 100 for row in rows)
            assert life["n_above"] <= above <= life["n_above"] + life["n_unknown"], (d, l, above, life)
    for l, layer in enumerate(block["layers"]):
        x = np.abs(truth.after(l))
        tops = [np.sort(x[i : i + truth.length].ravel())[::-1][:4] for i in range(0, truth.n, truth.length)]
        for k, mean in enumerate(np.mean(tops, axis=0)):
            near(f"mean_top_published {l} {k}", layer["mean_top_published"][k], mean)
        near(f"median {l}", layer["median_magnitude"], float(np.median(x)), 8e-3)


def shares(truth, i, peaks):
    """Of a dimension's events {row: layer}: X, {writer: share} up to the peaks and after, and the embedding's share."""
    d = truth.dims[i]
    x = {row: truth.after(l)[row, d] for row, l in peaks.items()}
    whole = sum(map(abs, x.values()))
    before, after = {}, {}
    for row, p in peaks.items():
        s = np.sign(x[row]) / whole
        for l in range(len(truth.layers)):
            writes = {(l, "attention", None): truth.attention[l, row, i]}
            writes.update({(l, "expert", e): truth.experts[l, row, i, e] for e in range(EXPERTS)})
            for w, value in writes.items():
                side = before if l <= p else after
                side[w] = side.get(w, 0) + s * value
    embedding = sum(np.sign(x[row]) * truth.stream[0][row, d] for row in peaks) / whole
    assert abs(sum(before.values()) + embedding - 1) < 1e-3, "the writes do not add up to the stream"
    return whole, before, after, embedding


def check_event(truth, i, entry, peaks):
    d = truth.dims[i]
    whole, before, after, _ = shares(truth, i, peaks)
    near(f"{d} magnitude", entry["magnitude"], whole)
    assert entry["n_tokens"] == len(peaks), entry
    unknown = abs(entry["unknown"]) / whole
    assert unknown < 0.05, f"{d}: {unknown:.1%} is not recorded"
    for key, all_of_them in (("made_by", before), ("counteracted_by", before), ("erased_by", after)):
        for w in entry[key]:
            if w["n_tokens"] == len(peaks):
                near(f"{d} {key} {w}", w["share"], all_of_them[w["layer"], w["kind"], w["expert"]], 2e-3, 2e-4)
    first = max(before, key=before.get)
    made = entry["made_by"][0]
    assert first == (made["layer"], made["kind"], made["expert"]), (first, made)
    last = min(after, key=after.get)
    erased = entry["erased_by"][0]
    assert last == (erased["layer"], erased["kind"], erased["expert"]), (last, erased)


def check_attribution(truth, results, places):
    entries = {(f["feature"], f["event"]): f for f in results["attribution"]["features"]}
    for i, d in enumerate(truth.dims):
        if d in places:
            peaks = {row: max(layers, key=lambda l: abs(truth.after(l)[row, d])) for row, layers in places[d].items()}
            check_event(truth, i, entries[d, "massive"], peaks)
    # The answer that is known: one expert makes both, one erases both.
    for d, maximum in ((507, 20000), (247, 1500)):
        made, erased = entries[d, "massive"]["made_by"][0], entries[d, "massive"]["erased_by"][0]
        assert (made["layer"], made["expert"], erased["layer"], erased["expert"]) == (11, 3, 28, 1), (made, erased)
        assert made["share"] > 0.97 and erased["share"] < -0.5, (made, erased)
        assert results["massive"]["features"][0]["max_magnitude"] > maximum or d == 247
    link = {k["feature"]: k for k in results["links"]}
    assert link[507]["writer"]["layer"] == 11 and link[507]["is_super_expert"], link[507]
    for i, d in enumerate(truth.dims):
        if d not in places:
            continue
        y = np.abs(truth.normed[:, sorted(places[d]), i]).max(axis=0)
        near(f"{d} normed median", link[d]["normed_median"], float(np.median(y)), 8e-3)
        near(f"{d} normed maximum", link[d]["normed_max"], float(y.max()), 8e-3)
        near(f"{d} occurrences", link[d]["share_with_occurrence"], float((y >= results["criterion"]["threshold"]).mean()))


def check_outliers(truth, results):
    """Outlier features among the dimensions: onset, and who makes them where they have occurrences."""
    threshold = results["criterion"]["threshold"]
    for f in results["onset"]["features"]:
        i = truth.dims.index(f["feature"])
        y = np.abs(truth.normed[:, :, i])
        for site, s in enumerate(f["sites"]):
            near(f"{f['feature']} share {site}", s["share"], float((y[site] >= threshold).mean()), 0, 0.01)
            near(f"{f['feature']} rms {site}", s["normed_rms"], float(np.sqrt((y[site].astype(float) ** 2).mean())), 5e-3)
        check_outlier(truth, i, y >= threshold, results)
        print(f"feature {f['feature']} sets in at layer {f['first_layer']}, by the {f['cause']['by']}")
    if threshold == 5:
        (f,) = results["onset"]["features"]
        assert f["feature"] == 247 and f["first_layer"] == 9 and f["cause"]["by"] == "gain" and f["cause"]["since_layer"] == 8, f


def check_outlier(truth, i, hits, results):
    d = truth.dims[i]
    (entry,) = [f for f in results["attribution"]["features"] if (f["feature"], f["event"]) == (d, "outlier")]
    sums, whole = {}, 0
    for site, row in np.argwhere(hits):
        l, mlp = divmod(int(site), 2)
        x = truth.stream[l][row, d] + (truth.attention[l, row, i] if mlp else 0)
        whole += abs(x)
        for k in range(l + 1):
            if k < l or mlp:
                sums[k, "attention", None] = sums.get((k, "attention", None), 0) + np.sign(x) * float(truth.attention[k, row, i])
            for e in range(EXPERTS if k < l else 0):
                sums[k, "expert", e] = sums.get((k, "expert", e), 0) + np.sign(x) * float(truth.experts[k, row, i, e])
    near(f"{d} magnitude", entry["magnitude"], whole, 0.02)
    for w in entry["made_by"][:3]:
        near(f"{d} {w}", w["share"], sums[w["layer"], w["kind"], w["expert"]] / whole, 0.05, 0.002)


def check_generators(truth, block):
    """Extremes, columns and kurtosis of what goes into every expert's down projection."""
    shape = truth.powers.shape[:2]
    largest, kurtosis, columns = np.zeros(shape), np.zeros(shape), {}
    for l, e in np.ndindex(shape):
        maxima = np.stack([values for values, _ in truth.largest[l][e]])  # [sequences][columns]
        columns[l, e] = maxima.max(0)
        largest[l, e] = maxima.max()
        s1, s2, s3, s4 = truth.powers[l, e] / (truth.n * maxima.shape[1])
        kurtosis[l, e] = (s4 - 4 * s1 * s3 + 6 * s1**2 * s2 - 3 * s1**4) / (s2 - s1**2) ** 2
    assert block["n_units"] == largest.size
    near("median largest", block["median_largest"], np.median(largest), 1e-2)
    near("median kurtosis", block["median_kurtosis"], np.median(kurtosis), 1e-2)
    for l, layer in enumerate(block["layers"]):
        for e in range(EXPERTS):
            near(f"{l}.{e} largest", layer["largest"][e], largest[l, e], 1e-2)
            near(f"{l}.{e} kurtosis", layer["kurtosis"][e], kurtosis[l, e], 2e-2)
    for unit in block["units"][:8]:
        at = unit["layer"], unit["expert"]
        column = unit["columns"][0]["column"]
        assert column == columns[at].argmax(), at
        # Rounded to bf16 the largest of several sequences may be the same.
        values, rows = truth.largest[at[0]][at[1]][unit["sequence"]]
        near(f"{at} place", values[column], largest[at], 1e-2)
        assert unit["position"] == rows[column], (at, unit["position"], rows[column])
        for c in unit["columns"]:
            near(f"{at} {c}", c["largest"], columns[at][c["column"]], 1e-2)
    top = block["units"][0]
    assert (top["layer"], top["expert"]) == np.unravel_index(largest.argmax(), shape)
    print(f"the largest input of a down projection: layer {top['layer']}, expert {top['expert']}, {top['largest']:.0f}, as torch has it")


def check_summaries(results, summaries):
    """Tensors are only asked about occurrences: all other events are the same from summaries."""
    assert results["massive"] == summaries["massive"]
    own = lambda r: [f for f in r["attribution"]["features"] if f["event"] != "outlier"]
    assert own(results) == own(summaries)
    assert [k["writer"] for k in results["links"]] == [k["writer"] for k in summaries["links"]]
    assert [k["share_with_occurrence"] for k in results["links"]] == [k["share_with_occurrence"] for k in summaries["links"]]


def main():
    folder, run = sys.argv[1:3]
    results, summaries = (json.load(open(path)) for path in sys.argv[3:])
    with h5py.File(run) as f:
        ids = f["input/token_ids"][...]
    dims = {f["feature"] for f in results["attribution"]["features"] if f["event"] != "all"}
    truth = Truth(folder, ids, sorted(dims))
    places = massive_places(truth)
    check_massive(truth, results["massive"], places)
    check_attribution(truth, results, places)
    check_outliers(truth, results)
    check_generators(truth, results["generators"])
    assert results["generators"] == summaries["generators"]
    check_summaries(results, summaries)
    for f in results["attribution"]["features"]:
        if f["event"] == "massive":
            w = f["made_by"][0]
            print(f"dimension {f['feature']}: layer {w['layer']}, expert {w['expert']}, {100 * w['share']:.1f} %, as torch has it")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main()
