#!/usr/bin/env python3
"""Check every checksum of an activation file with zlib's, or damage its tables one by one.

usage: checksums.py RUN.h5
       checksums.py RUN.h5 COPY COMMAND...

With a COMMAND, it is run once for each table of the file on a COPY of which one byte of that
table is another, and once for each that COPY lacks: it must end with status 1 and name the
table. Needs h5py."""
import shutil
import subprocess
import sys
import zlib

import h5py
import numpy as np


def chunks(dataset, n):
    """Bytes of each of n chunks, or of all values, as they are meant to be stored."""
    if n > 1:
        return [dataset.id.read_direct_chunk((i,) + (0,) * (dataset.ndim - 1))[1] for i in range(n)]
    if h5py.check_string_dtype(dataset.dtype):
        return [b"".join(text + b"\0" for text in dataset[:])]
    values = np.ascontiguousarray(dataset[...])
    if dataset.id.get_type().get_size() != values.dtype.itemsize:  # bf16
        values = (values.view("<u4") >> 16).astype("<u2")
    return [values.tobytes()]


def tables(f):
    contents = f["contents"]
    return list(zip(contents["tables"].asstr()[:], contents["chunks"][:]))


def renew(f):
    """Let the file prove what it holds now: for tests that put values into one. Tensors have zeros
    behind the end of a sequence, which a scan takes for granted."""
    for layer in f["layers"].values():
        for site in ("ln_attn", "ln_mlp", "residual_attn", "residual_mlp"):
            for s, length in enumerate(f["input/lengths"][:] if site in layer else []):
                layer[site][s, length:] = 0
    if "contents" in f:
        f["contents/crc32"][:] = [zlib.crc32(chunk) for table, n in tables(f) for chunk in chunks(f[table], n)]


def check(path):
    with h5py.File(path) as f:
        found, all_tables = [], []
        for table, n in tables(f):
            all_tables.append(table)
            found += [zlib.crc32(chunk) for chunk in chunks(f[table], n)]
        assert found == list(f["contents/crc32"][:]), "checksums differ"
        there = []
        f.visititems(lambda name, o: there.append("/" + name) if isinstance(o, h5py.Dataset) else None)
        there = [name for name in there if not name.startswith("/contents/")]
        assert sorted(there) == sorted(all_tables), set(there) ^ set(all_tables)
        print(f"{len(found)} checksums of {len(all_tables)} tables")


def spoil(dataset):
    """Change the last value that is read: padding behind a sequence's end is not."""
    if h5py.check_string_dtype(dataset.dtype):
        dataset[-1] = "another"
    elif dataset.dtype.kind == "f" and dataset.ndim == 3:
        value = dataset[-1, 0, -1]  # NaN is what is not known
        dataset[-1, 0, -1] = 0 if value != value else value * 1.25 + 0.125
    elif dataset.dtype.kind == "f":
        dataset[..., -1] = 0.125
    elif dataset.ndim > 1:
        dataset[-1, 0, ...] = dataset[-1, 0, ...] ^ 1
    else:
        dataset[-1] = dataset[-1] ^ 1


def expect(command, copy, table):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "", (table, done.returncode, done.stderr)
    assert len(lines) == 1 and table in lines[0] and copy in lines[0], (table, done.stderr)


def damage(path, copy, command):
    with h5py.File(path) as f:
        names = [table for table, _ in tables(f) if f[table].size > 0]
    for table in names:
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as f:
            spoil(f[table])
        if table in ("/input/lengths", "/input/token_ids") or "/summary/value_" in table:
            group = "/summary" if "summary" in table else "/input"
            expect(command, copy, group)  # may be no number that can be, too
        else:
            expect(command, copy, table)
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as f:
            del f[table]
        expect(command, copy, table)
    print(f"{len(names)} tables damaged and removed")


def main():
    check(sys.argv[1])
    if len(sys.argv) > 3:
        damage(sys.argv[1], sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
