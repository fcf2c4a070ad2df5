#!/usr/bin/env python3
"""Check that every dataset of a file is in another, byte for byte.

usage: same_datasets.py FEWER.h5 MORE.h5 [LINK_BYTES]

FEWER.h5 may lack datasets that MORE.h5 has, as a run with --store none does; the lists of
what the files hold are left out. With
LINK_BYTES "tensors", no more and no less passed the link to the device for MORE.h5 than for
FEWER.h5 but the tensors that only it has.
"""
import sys

import h5py


def datasets(f):
    found = {}
    f.visititems(lambda name, o: found.update({name: o}) if isinstance(o, h5py.Dataset) else None)
    return {name: o for name, o in found.items() if not name.startswith("contents/")}


def content(dataset):
    values = dataset[...]
    return values.tolist() if values.dtype == object else values.tobytes()


def main():
    with h5py.File(sys.argv[1]) as fewer, h5py.File(sys.argv[2]) as more:
        a, b = datasets(fewer), datasets(more)
        assert set(a) <= set(b), set(a) - set(b)
        assert any("/summary/" in name for name in a), "there are no summaries"
        for name in a:
            assert a[name].shape == b[name].shape and content(a[name]) == content(b[name]), f"{name} differs"
        if len(sys.argv) > 3:
            width = 2 if more.attrs["precision"] == "bf16" else 4
            rows = int(more["input/lengths"][...].sum())
            tensors = sum(rows * b[name].shape[2] * width for name in set(b) - set(a))
            link = [int(f["receipt"].attrs["link_bytes"]) for f in (fewer, more)]
            assert tensors > 0 and link[1] - link[0] == tensors, (link, tensors)
        print(f"{len(a)} datasets of {len(b)} are the same")


main()
