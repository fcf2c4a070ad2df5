#!/usr/bin/env python3
"""usage: same_blocks.py A.json B.json BLOCK...   Fails unless the named blocks are equal."""
import json
import sys

a, b = (json.load(open(path)) for path in sys.argv[1:3])
for block in sys.argv[3:]:
    assert a[block] is not None, f"{block} is null"
    assert a[block] == b[block], f"{block} differs"
