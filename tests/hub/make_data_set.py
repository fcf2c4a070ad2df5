#!/usr/bin/env python3
"""A Parquet file without a library, large enough to be read in parts: columns id, text and url, plain
or by gzip, in row groups and pages of so many rows; and a text of the same rows as lines of JSON.

    make_data_set.py FILE.parquet ROWS [--gzip] [--group ROWS] [--page ROWS] [--from FIRST]
        also FILE.jsonl; prints what lies where, one line each: footer START END,
        page GROUP COLUMN FIRST_ROW START END"""
import json
import os
import random
import struct
import sys
import zlib

WORDS = ("it is a truth universally acknowledged that a single man in possession of a good fortune must be in want of "
         "wife however little known the feelings or views such may on his first entering neighbourhood").split()
COLUMNS = ["id", "text", "url"]


def row(i):
    chance = random.Random(i)
    return {"id": "<urn:%d>" % i, "text": " ".join(chance.choice(WORDS) for _ in range(chance.randrange(20, 400))) +
            " \u00e9\n\"%d\"\\" % i, "url": "https://example.org/%d" % i}


# ---- thrift's compact protocol ----

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def zigzag(n):
    return varint(n << 1 if n >= 0 else -n * 2 - 1)


def structure(*fields):
    """Fields are (id, value): int, (int, 64 bits), str, list, bytes of a structure."""
    out, last = b"", 0
    for number, value in fields:
        kind = 5 if isinstance(value, int) else 6 if isinstance(value, tuple) else 8 if isinstance(value, str) else \
            9 if isinstance(value, list) else 12
        out += bytes([(number - last) << 4 | kind])
        last = number
        out += {5: lambda: zigzag(value), 6: lambda: zigzag(value[0]), 12: lambda: value, 9: lambda: listing(value),
                8: lambda: varint(len(value.encode())) + value.encode()}[kind]()
    return out + b"\0"


def listing(values):
    kind = 12 if isinstance(values[0], bytes) else 8 if isinstance(values[0], str) else 5
    head = bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xf0 | kind]) + varint(len(values))
    return head + b"".join(value if kind == 12 else varint(len(value)) + value.encode() if kind == 8 else zigzag(value)
                           for value in values)


# ---- the file ----

def page(values, packed):
    body = b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)
    block = zlib.compress(body, 1) if packed else body
    return structure((1, 0), (2, len(body)), (3, len(block)),
                     (5, structure((1, len(values)), (2, 0), (3, 3), (4, 3)))) + block


def main(path, n_rows, packed=False, group=1000, page_rows=100, first=0):
    rows = [row(first + i) for i in range(n_rows)]
    places, groups, data = [], [], bytearray(b"PAR1")
    for at in range(0, n_rows, group):
        some, chunks = rows[at:at + group], []
        for column in COLUMNS:
            start = len(data)
            for i in range(0, len(some), page_rows):
                begun = len(data)
                data += page([r[column] for r in some[i:i + page_rows]], packed)
                places.append("page %d %s %d %d %d" % (len(groups), column, at + i, begun, len(data)))
            n = len(data) - start
            meta = structure((1, 6), (2, [0]), (3, [column]), (4, 2 if packed else 0), (5, (len(some), 64)),
                             (6, (n, 64)), (7, (n, 64)), (9, (start, 64)))
            chunks.append(structure((2, (start, 64)), (3, meta)))
        groups.append(structure((1, chunks), (2, (len(data), 64)), (3, (len(some), 64))))
    schema = [structure((4, "schema"), (5, len(COLUMNS)))] + [
        structure((1, 6), (3, 0), (4, column), (6, 0)) for column in COLUMNS]
    footer = structure((1, 1), (2, schema), (3, (n_rows, 64)), (4, groups), (6, "tests"))
    places.append("footer %d %d" % (len(data), len(data) + len(footer)))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(data + footer + struct.pack("<I", len(footer)) + b"PAR1")
    with open(path[:-len("parquet")] + "jsonl", "w") as file:
        for r in rows:
            file.write(json.dumps({"text": r["text"]}) + "\n")
    print("\n".join(places))


options = dict(zip(sys.argv[3:], sys.argv[4:] + [""]))
main(sys.argv[1], int(sys.argv[2]), "--gzip" in sys.argv, *(int(options.get(name, usual)) for name, usual in (
    ("--group", 1000), ("--page", 100), ("--from", 0))))
