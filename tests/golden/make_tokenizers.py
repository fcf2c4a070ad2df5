#!/usr/bin/env python3
"""Small tokenizers cut from real ones, with what the `tokenizers` package makes of texts.

    python make_tokenizers.py TOKENIZERS_DIR tests/golden/tokenizers
    python make_tokenizers.py --check TOKENIZERS_DIR OL_EXTRACT [TEXT_FILE...]

The first form reads TOKENIZERS_DIR/NAME/tokenizer.json and keeps the first merges of each
with everything around them (normalizer, pre-tokenizer, post-processor, decoder, a few
added tokens), so that the result is small enough to be kept; variants try the settings
that no real file has. The second form compares ol-extract --tokenize with the package on
the whole files, with many more texts (random ones among them). TOKENIZERS_DIR/kimi-k2 has
tiktoken.model and tokenizer_config.json instead: there `tiktoken` is what to agree with."""
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import tiktoken
from tokenizers import Tokenizer

N_MERGES = 700
NAMES = ["deepseek-v3", "gpt-oss", "llama-3.1", "llama-4", "mixtral", "olmoe", "qwen3"]

PROSE = ("It was, perhaps, one of those cases in which advice is good or bad only as the "
         "event decides. \u201cI don't know,\u201d said Anne; 'we'LL see' --- caf\u00e9, na\u00efve, co\u00f6perate.")
CODE = "int main(void)\n{\n\tfor (int i = 0; i < 1234567; i++)\n        x[i] += f(y->z) / 2.5e-3; // TODO: http://a.b/c?d=e&f=g\n}\r\n"
TEXTS = [
    PROSE, CODE, "", "a", " ", "  ", "\n", "\n\n \n\t\t x", "Hello  world   !",
    "don't DON'T we'Ll I'VE '\u017f x'\u017f 'S K\u212a x'\u212a",
    "\u4e2d\u6587\u5b57\u7b26\u6d4b\u8bd5\uff0c\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8\u3002",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 emoji\U0001f389\U0001f389",
    "e\u0301 a\u030a \u1e9b\u0323 \ufb01 \u00c5 \u212b n\u0303\u0303 \u1100\u1161\u11a8",
    "\x00\x01\x02\x7f\x80\x85\xa0\u180e\u200b\u2028\u2029\u3000x \u180ey",
    "1234567 12 \u00bd \u00b2 \u0663\u0664\u0665 \u2167 \u2460",
    "x" * 300, "ab" * 90 + " " + "Word" * 70, " " * 100 + "x", "\n" * 60 + " \r\n\r\n",
    "<|endoftext|>hello<|im_start|>user\n<|im_end|> <s> </s><unk>[INST]<|begin_of_text|> x",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>hi<\uff5cUser\uff5c>there",
    "|||IP_ADDRESS||| |||EMAIL_ADDRESS|||          x                        y",
    "price$3.50 (a)[b]{c} /* x */ !!!??",
    "\u01c5 \u01c8 \u01c4 \u02b0 \u00aa \u00df\u1e9e \u03a3\u03a3\u03c2",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\ufeffBOM \ud7a3 \U0001d7d8 \U0001f600\u0301", "_under_score__x y_ \u203fz",
    "A\u00a0B\u2003C", "\tindent\n\t\tmore    \n  x", "<0x0A> \u2581\u2581x \u2581 y",
    "a\u0300\u0301b \ufdfa \u0958 \u2126", "<extra> a<extra>b  <extra>  c <extra>",
    "one--two---three -four- 5-6",
]


# As Kimi's tokenization_kimi.py has them.
KIMI_PATTERN = [
    r"""[\p{Han}]+""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""",
    r""" ?[^\s\p{L}\p{N}]+[\r\n]*""",
    r"""\s*[\r\n]+""",
    r"""\s+(?!\S)""",
    r"""\s+""",
]
# Beside the others' texts: Han next to letters, marks and signs that Han shares with others.
KIMI_TEXTS = [
    "\u4e2d\u6587abc\u4e2dDEF\u6587\u5b57 \u4e2d\u6587 x\u4e2d's", "\u3005\u3007\u303b \u3006\u30fc\u3001\u3002 \u4e00\u3099a\u3099",
    "\u30fb\u300c\u4e2d\u300d \u2e80\u2f00\uf900 \U00020000\U0002f800x \u3220\u32c0\u3358", "\u4e2d1234\u65e5 \u4e8c\u3007\u4e8c\u516d\u5e74 12\u6708",
    "<|im_user|>user<|im_middle|>\u4f60\u597d[EOS][BOS]<|im_end|> <|reserved_token_1500|>", "<|reserved_token_1200|>",
    "ABCdef ABC DEFg'S I'LL o'clock don\u2019t \u01c5x \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35A",
]


def merge_pair(merge):
    return merge.split(" ", 1) if isinstance(merge, str) else merge


def smaller(whole):
    """The same tokenizer with its first merges only."""
    model = whole["model"]
    pairs = [merge_pair(m) for m in model["merges"][:N_MERGES]]
    kept = set()
    for left, right in pairs:
        kept |= {left, right, left + right}
    added = [t for i, t in enumerate(whole["added_tokens"]) if i < 12 or not t["special"]][:30]
    kept |= {t["content"] for t in added}
    kept |= {t for t in model["vocab"] if len(t) == 1 and ord(t) < 0x250}
    kept |= {t for t in model["vocab"] if len(t) == 6 and t.startswith("<0x")}
    if model["unk_token"]:
        kept.add(model["unk_token"])
    # The package numbers added tokens by itself, behind the model's: ids are made dense.
    new = {t: i for i, (t, _) in enumerate(sorted(
        ((t, i) for t, i in model["vocab"].items() if t in kept), key=lambda x: x[1]))}
    for token in added:
        token["id"] = new.get(token["content"], token["id"])
        if token["content"] not in new:
            token["id"] = len(new) + sum(t["content"] not in new for t in added[:added.index(token)])
    ids = {**new, **{t["content"]: t["id"] for t in added}}
    small = dict(whole, added_tokens=added)
    small["model"] = dict(model, merges=model["merges"][:N_MERGES], vocab=new)
    processor = small["post_processor"]
    for part in processor.get("processors", [processor]):
        for special in part.get("special_tokens", {}).values():
            special["ids"] = [ids[t] for t in special["tokens"]]
    return small


def split(behavior, pattern, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def variants(small):
    """Settings that the real files do not use, on the smallest of them."""
    base, spm = small["olmoe"], small["mixtral"]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": False}
    dash, digits = {"String": "-"}, {"Regex": "\\d+"}

    def cut(*stages):
        return dict(base, pre_tokenizer={"type": "Sequence", "pretokenizers": [*stages, level]})

    def extra(**flags):
        token = {"id": max(t["id"] for t in base["added_tokens"]) + 1, "content": "<extra>", "single_word": False, "lstrip": False,
                 "rstrip": False, "normalized": False, "special": False, **flags}
        return dict(base, added_tokens=[*base["added_tokens"], token])

    yield "removed", cut(split("Removed", {"Regex": "\\s"}))
    yield "previous", cut(split("MergedWithPrevious", dash))
    yield "next", cut(split("MergedWithNext", dash))
    yield "contiguous", cut(split("Contiguous", dash))
    yield "inverted", cut(split("Isolated", digits, True), split("MergedWithNext", dash, True))
    yield "digits", cut({"type": "Digits", "individual_digits": True})
    yield "digit-runs", cut({"type": "Digits", "individual_digits": False})
    yield "prefix-space", dict(base, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True,
                                                    "trim_offsets": True, "use_regex": True})
    yield "nfkc", dict(base, normalizer={"type": "NFKC"})
    yield "nfd", dict(base, normalizer={"type": "NFD"})
    yield "lstrip", extra(lstrip=True)
    yield "rstrip", extra(rstrip=True)
    yield "single-word", extra(single_word=True)
    yield "no-unknown", dict(spm, model=dict(spm["model"], unk_token=None, byte_fallback=False))
    yield "unknown", dict(spm, model=dict(spm["model"], byte_fallback=False, fuse_unk=False))
    yield "fused-unknown", dict(spm, model=dict(spm["model"], byte_fallback=False))
    yield "suffix", dict(spm, post_processor=dict(
        spm["post_processor"], single=[*spm["post_processor"]["single"],
                                       {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        special_tokens={**spm["post_processor"]["special_tokens"],
                        "</s>": {"id": "</s>", "ids": [spm["model"]["vocab"]["</s>"]],
                                 "tokens": ["</s>"]}}))


def write(root, name, content):
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        f.write(text + "\n")
    tokenizer = Tokenizer.from_str(text)
    whole = tokenizer.encode("x").ids
    bare = tokenizer.encode("x", add_special_tokens=False).ids
    at = next(i for i in range(len(whole)) if whole[i:i + len(bare)] == bare)
    cases = []
    for t in TEXTS:
        ids = tokenizer.encode(t, add_special_tokens=False).ids
        cases.append({"text": t, "ids": ids, "decoded": tokenizer.decode(ids),
                      "with_special": tokenizer.decode(ids, skip_special_tokens=False)})
    with open(os.path.join(folder, "cases.json"), "w") as f:
        json.dump({"prefix": whole[:at], "suffix": whole[at + len(bare):], "cases": cases}, f,
                  separators=(",", ":"))
        f.write("\n")


def make(source, root):
    small = {}
    for name in NAMES:
        with open(os.path.join(source, name, "tokenizer.json")) as f:
            small[name] = smaller(json.load(f))
        write(root, name, small[name])
    small["olmoe"]["model"]["merges"] = small["olmoe"]["model"]["merges"][:120]
    for name, content in variants(small):
        write(root, name, content)
    make_tiktoken(source, root, "kimi-k2")


def read_ranks(folder):
    with open(os.path.join(folder, "tiktoken.model")) as f:
        return {base64.b64decode(token): int(rank) for token, rank in map(str.split, f)}


def merged(ranks, word):
    """All tokens that come up while a word is merged."""
    parts = [bytes([b]) for b in word]
    while True:
        pairs = [(ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ranks]
        if not pairs:
            return
        i = min(pairs)[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
        yield parts[i]


def encoding(ranks, config):
    """As TikTokenTokenizer makes it of the two files."""
    named = {int(i): t["content"] for i, t in config["added_tokens_decoder"].items()}
    special = {named.get(i, f"<|reserved_token_{i}|>"): i for i in range(len(ranks), len(ranks) + 256)}
    return tiktoken.Encoding("kimi", pat_str="|".join(KIMI_PATTERN), mergeable_ranks=ranks, special_tokens=special)


def make_tiktoken(source, root, name):
    ranks = read_ranks(os.path.join(source, name))
    with open(os.path.join(source, name, "tokenizer_config.json")) as f:
        config = json.load(f)
    kept = {t for t, rank in ranks.items() if len(t) == 1 or rank < N_MERGES}
    for text in TEXTS + KIMI_TEXTS:
        for word in text.split():
            kept |= set(merged(ranks, word.encode())) if max(word, default="") > "\u2000" else set()
    small = {t: i for i, t in enumerate(sorted(kept, key=ranks.get))}
    config["added_tokens_decoder"] = {
        str(int(i) - len(ranks) + len(small)): t for i, t in config["added_tokens_decoder"].items()}
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tiktoken.model"), "w") as f:
        f.writelines(f"{base64.b64encode(t).decode()} {i}\n" for t, i in small.items())
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(config, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    with open(os.path.join(folder, "tokenization_kimi.py"), "w") as f:
        f.writelines(["pat_str = '|'.join([\n", *(f'    r"""{p}""",\n' for p in KIMI_PATTERN), "])\n"])
    kimi, cases = encoding(small, config), []
    special = {int(i) for i, t in config["added_tokens_decoder"].items() if t["special"]}
    special |= set(range(len(small), len(small) + 256)) - {int(i) for i in config["added_tokens_decoder"]}
    for t in TEXTS + KIMI_TEXTS:
        ids = kimi.encode(t, allowed_special="all")
        cases.append({"text": t, "ids": ids, "decoded": kimi.decode([i for i in ids if i not in special]),
                      "with_special": kimi.decode(ids)})
    with open(os.path.join(folder, "cases.json"), "w") as f:
        json.dump({"prefix": [], "suffix": [], "cases": cases}, f, separators=(",", ":"))
        f.write("\n")


def random_text(n):
    out = []
    while len(out) < n:
        kind = random.random()
        if kind < 0.3:
            out.append(chr(random.randint(32, 126)))
        elif kind < 0.45:
            out.append(random.choice(" \n\r\t  \u00a0\u3000"))
        elif kind < 0.7:
            out.append(chr(random.randint(0, 0x17f)))
        else:
            c = chr(random.randint(0, 0x2ffff))
            # Python's tables decide what is assigned: no younger than PCRE2's.
            if unicodedata.category(c) not in ("Cn", "Co", "Cs"):
                out.append(c)
    return "".join(out)


def encoders(source, name):
    """Text to ids as the reference does it."""
    folder = os.path.join(source, name)
    if name != "kimi-k2":
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        return lambda text: tokenizer.encode(text).ids
    with open(os.path.join(folder, "tokenizer_config.json")) as f:
        kimi = encoding(read_ranks(folder), json.load(f))
    return lambda text: kimi.encode(text, allowed_special="all")


def check(source, program, files):
    random.seed(1)
    texts = TEXTS + KIMI_TEXTS + ["x" * 5000] + [random_text(60) for _ in range(400)]
    texts += [random_text(2000) for _ in range(20)] + [open(f).read() for f in files]
    wrong = 0
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.writelines(json.dumps({"text": t}) + "\n" for t in texts)
        f.flush()
        for name in sorted(set(os.listdir(source)) & {*NAMES, "kimi-k2"}):
            encode = encoders(source, name)
            lines = subprocess.run([program, "--tokenize", "-t", f.name, os.path.join(source, name)],
                                   check=True, capture_output=True, text=True).stdout.split("\n")
            bad = [t for t, line in zip(texts, lines) if encode(t) != [int(i) for i in line.split()]]
            wrong += len(bad)
            print(f"{name}: {len(bad)} of {len(texts)} texts differ", *map(ascii, bad[:3]))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"] and len(sys.argv) >= 4:
        check(sys.argv[2], sys.argv[3], sys.argv[4:])
    elif len(sys.argv) == 3:
        make(*sys.argv[1:])
    else:
        sys.exit(__doc__)
