#!/usr/bin/env python3
"""Parquet files as pyarrow writes them, of all kinds, and what is in their column `text`.

    python make_parquet.py tests/golden/parquet        small ones, to be kept
    python make_parquet.py --all FOLDER                every combination of what a writer can choose

NAME.parquet has the rows of rows.jsonl, but for those in refused/, of which NAME.error is a part of
what is said."""
import decimal
import itertools
import json
import os
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["was", "Hello", "plain", "\u00fcber", "\u4f60\u597d", "x\0y", "long " * 9, "\n", "\U0001f600"]


def make_rows(n, seed=1):
    """Nulls, the empty text, a few texts again and again, and others that are there once."""
    chance = random.Random(seed)
    return [None if i % 11 == 5 else ["", "same", "Same again"][i % 3] if i % 4 else
            " ".join(chance.choice(WORDS) for _ in range(chance.randrange(20))) for i in range(n)]


def table(rows, kind=None, nullable=True):
    n = len(rows)
    return pa.table({"id": [str(i) for i in range(n)], "text": pa.array(rows, kind or pa.string()),
                     "score": [i * .5 for i in range(n)]},
                    schema=pa.schema([("id", pa.string()), pa.field("text", kind or pa.string(), nullable),
                                      ("score", pa.float64())]))


def write(folder, name, data, **how):
    pq.write_table(data, os.path.join(folder, name + ".parquet"), **how)


def write_rows(folder, rows):
    with open(os.path.join(folder, "rows.jsonl"), "w") as file:
        for row in rows:
            if row is not None:
                file.write(json.dumps({"text": row}) + "\n")


def write_kept(folder):
    os.makedirs(folder + "/refused", exist_ok=True)
    rows = make_rows(60)
    data, plain = table(rows), {"use_dictionary": False}
    write_rows(folder, rows)
    write(folder, "none", data, compression="none", **plain)
    write(folder, "none-v2", data, compression="none", data_page_version="2.0", **plain)
    write(folder, "snappy", data, row_group_size=25)
    write(folder, "gzip-v2", data, compression="gzip", data_page_version="2.0")
    write(folder, "zstd-crc", data, compression="zstd", write_page_index=True, write_page_checksum=True)
    write(folder, "fallback", data, compression="none", dictionary_pagesize_limit=100, data_page_size=200,
          write_batch_size=8)
    # Several pages that need the dictionary.
    write(folder, "words", data, compression="none", data_page_size=8, write_batch_size=8, row_group_size=40)
    write(folder, "large", table(rows, pa.large_string()), store_schema=False)
    nested = pa.table({"list": [["no"], []] * 30, "struct": [{"text": "no", "n": 1}] * 60, "text": rows,
                       "map": pa.array([[("text", 1)], []] * 30, pa.map_(pa.string(), pa.int64()))})
    write(folder, "neighbours", nested, compression="none", store_schema=False)
    write_refused(folder + "/refused", rows)


def write_refused(folder, rows):
    def refuse(name, error, data, **how):
        write(folder, name, data, **how)
        with open("%s/%s.error" % (folder, name), "w") as file:
            file.write(error + "\n")

    some = table(rows[:8])
    for codec in "brotli", "lz4":
        refuse(codec, "column 'text' is compressed by %s; what can be read is" % {"lz4": "LZ4_RAW"}.get(codec, "BROTLI"),
               some, compression=codec)
    for encoding in "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY":
        refuse(encoding.lower().replace("_", "-"), "is encoded as %s; what can be read is PLAIN" % encoding, some,
               use_dictionary=False, column_encoding={"text": encoding})
    for name, error, column in (
            ("list", "column 'text' is nested, expected one flat column", pa.array([["a"], ["b"]])),
            ("struct", "column 'text' is nested, expected one flat column", pa.array([{"a": "b"}, None])),
            ("number", "column 'text' is of type INT64, expected strings", pa.array([1, 2])),
            ("decimal", "column 'text' is of type FIXED_LEN_BYTE_ARRAY, expected strings",
             pa.array([decimal.Decimal("1.5")], pa.decimal128(30, 2))),
            ("encoding", "column 'text': row 0: byte 2 of the text is no valid UTF-8",
             pa.array([b"ab\xff", b"good"], pa.binary()))):
        refuse(name, error, pa.table({"text": column}))
    refuse("absent", "has no column 'text'; its columns of strings are: body, url",
           pa.table({"body": ["a"], "url": ["b"], "score": [1]}))


def write_all(folder):
    rows = make_rows(3000)
    write_rows(folder, rows)
    full = [row if row is not None else "" for row in rows]
    kinds = {"string": table(rows), "large": table(rows, pa.large_string()),
             "binary": table([row and row.encode() for row in rows], pa.binary()),
             "words": pa.table({"text": pa.array(rows).dictionary_encode()})}
    number = itertools.count()
    for codec, version, dictionary, size, group in itertools.product(
            ["none", "snappy", "gzip", "zstd"], ["1.0", "2.0"], [True, False, 2000], [None, 3000], [5000, 700]):
        i = next(number)
        write(folder, "file-%03d" % i, kinds[list(kinds)[i % len(kinds)]], compression=codec, data_page_version=version,
              use_dictionary=dictionary is not False, row_group_size=group,
              **({"dictionary_pagesize_limit": dictionary} if dictionary == 2000 else {}),
              **({"data_page_size": size, "write_batch_size": 50} if size else {}),
              **({"write_page_index": True, "write_page_checksum": True} if i % 5 == 0 else {}))
    os.makedirs(folder + "/full", exist_ok=True)
    write_rows(folder + "/full", full)
    for version in "1.0", "2.0":
        write(folder + "/full", "required-" + version, table(full, nullable=False), data_page_version=version)


if sys.argv[1] == "--all":
    write_all(sys.argv[2])
else:
    write_kept(sys.argv[1])
