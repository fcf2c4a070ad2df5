#!/usr/bin/env python3
"""usage: same_run.py A.h5 B.h5 [GROUP@ATTRIBUTE...]   Fails, naming what differs, unless two activation files are
the same to the last byte of every dataset and attribute but for what tells of the run
itself: when and where it was, by which command, what it read, how long it waited; and for the
attributes that are named."""
import os
import sys

import h5py
import numpy as np

OF_THE_RUN = {"created", "command_line", "device", "processor", "peak_memory"}


def content(path):
    """Name -> (kind, shape, chunks, bytes or texts) of all that a file holds."""
    found = {}

    def add(name, item):
        for key in item.attrs:
            if name != "receipt" and not (name == "" and key in OF_THE_RUN):
                value = np.asarray(item.attrs[key])
                found[f"{name}@{key}"] = value.dtype.str, value.shape, value.tolist()
        if isinstance(item, h5py.Dataset):
            found[name] = storage(item)

    with h5py.File(path) as f:
        add("", f)
        f.visititems(add)
    return found


def storage(item):
    if h5py.check_string_dtype(item.dtype):
        return "text", item.shape, item.chunks, [bytes(x) for x in item[()].ravel()]
    places = []
    if item.chunks is not None:
        id = item.id
        places = [id.get_chunk_info(i)[1:] for i in range(id.get_num_chunks())]
    # Bytes as they lie in the file: bfloat16 and NaN are not to be converted.
    values = np.empty(item.shape, f"V{item.id.get_type().get_size()}")
    item.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=item.id.get_type())
    return item.id.get_type().get_size(), item.shape, item.chunks, places, values.tobytes()


a, b = (content(path) for path in sys.argv[1:3])
for ignored in sys.argv[3:]:
    a.pop(ignored), b.pop(ignored)
differing = sorted(a.keys() ^ b.keys()) + sorted(k for k in a.keys() & b.keys() if a[k] != b[k])
if os.path.getsize(sys.argv[1]) != os.path.getsize(sys.argv[2]):
    differing.append("the size")
if differing:
    more = f" and {len(differing) - 6} more" if len(differing) > 6 else ""
    sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ in " + ", ".join(differing[:6]) + more)
