#!/usr/bin/env python3
"""What the Python study makes of a data set, by the `tokenizers` package.

    python make_windows.py TEXT_FILE tests/golden/tokenizers tests/golden/windows

Writes docs.jsonl and, of some tokenizers, NAME-N-L.ids: N sequences of about L tokens, one a line, as
get_text_sequences of arb8020/research (dev/outlier-features/dataset_utils.py) cuts them, encoded as a
model is given them."""
import json
import os
import random
import sys

from tokenizers import Tokenizer

SPECIAL = ["<|endoftext|>", "</s>", "<|end_of_text|>"]  # of one tokenizer each
CASES = [("qwen3", 20, 64), ("qwen3", 3, 7), ("mixtral", 25, 65), ("llama-3.1", 20, 64), ("suffix", 5, 30)]


def documents(path):
    chance = random.Random(3)
    paragraphs = [p for p in open(path, encoding="utf-8").read().split("\n\n") if p.strip()]
    for i in range(24):
        text = "\n\n".join(paragraphs[i % 7:][:chance.randrange(1, 3)])[:400]
        if i % 3 == 1:  # in the first window with this document they count, then they are gone
            text = text[:9] + "".join(SPECIAL) + text[9:]
        yield chance.choice(["", "\n", "  "]) + ("" if i == 5 else text) + chance.choice(["", "\n", " ", "\n\n "])


def sequences(tokenizer, texts, n, length):
    made, left = [], ""
    for text in texts:
        left += " " + text
        remain = tokenizer.encode(left, add_special_tokens=False).ids
        while len(remain) >= length and len(made) < n:
            ids = tokenizer.encode(left, add_special_tokens=False).ids
            made.append(tokenizer.decode(ids[:length], skip_special_tokens=True))
            remain = ids[length // 2:]
            left = tokenizer.decode(remain, skip_special_tokens=True)
    assert len(made) == n, (len(made), n)
    return made


def main(text, tokenizers, folder):
    os.makedirs(folder, exist_ok=True)
    texts = list(documents(text))
    with open(folder + "/docs.jsonl", "w") as file:
        for t in texts:
            file.write(json.dumps({"text": t}) + "\n")
    for name, n, length in CASES:
        tokenizer = Tokenizer.from_file("%s/%s/tokenizer.json" % (tokenizers, name))
        with open("%s/%s-%d-%d.ids" % (folder, name, n, length), "w") as file:
            for sequence in sequences(tokenizer, texts, n, length):
                file.write(" ".join(map(str, tokenizer.encode(sequence).ids)) + "\n")


main(*sys.argv[1:])
