#!/usr/bin/env python3
"""Compare a results file with the answers that were planted: planted.py ANSWERS RESULTS"""
import json
import sys


def same(path, found, expected):
    if isinstance(expected, dict):
        for key, value in expected.items():
            if key not in found:
                sys.exit(f"{path}.{key} is missing")
            same(f"{path}.{key}", found[key], value)
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        if "feature" in expected[0]:  # answers are in the order of planting
            found = sorted(found, key=lambda f: f["feature"])
            expected = sorted(expected, key=lambda f: f["feature"])
        if len(found) != len(expected):
            sys.exit(f"{path}: {len(found)} entries, expected {len(expected)}")
        for i, (a, b) in enumerate(zip(found, expected)):
            same(f"{path}[{i}]", a, b)
    elif isinstance(expected, float):
        if abs(found - expected) > 1e-12:
            sys.exit(f"{path}: {found}, expected {expected}")
    elif found != expected:
        sys.exit(f"{path}: {found}, expected {expected}")


def main():
    with open(sys.argv[1]) as f:
        answers = json.load(f)
    with open(sys.argv[2]) as f:
        results = json.load(f)
    batch = results["criterion"]["batch_size"]
    same("llm_int8", results["llm_int8"], answers["llm_int8"][f"batch_size_{batch}"])
    same("sites", results["sites"], answers["sites"])
    for layer, never in zip(results["router"]["layers"], answers["router"]["never_chosen"]):
        if layer["never_chosen"] != never["experts"]:
            sys.exit(f"layer {layer['layer']}: never chosen {layer['never_chosen']}, "
                     f"expected {never['experts']}")


if __name__ == "__main__":
    main()
