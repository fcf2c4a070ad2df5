#!/usr/bin/env python3
"""kernels.py FILE.csv: what ncu measured with --metrics gpu__time_duration.sum --csv, by kernel:
lines NAME|MILLISECONDS|NOTE, the longest first, then their sum."""
import csv
import re
import sys
from collections import defaultdict

UNITS = {"nsecond": 1e-6, "ns": 1e-6, "usecond": 1e-3, "us": 1e-3, "msecond": 1, "ms": 1, "second": 1e3, "s": 1e3}


def main():
    total, times, calls = 0.0, defaultdict(float), defaultdict(int)
    with open(sys.argv[1], newline="") as f:
        lines = [line for line in f if line.startswith('"')]
    for row in csv.DictReader(lines):
        if row["Metric Name"] != "gpu__time_duration.sum":
            continue
        name = re.sub(r"^void |\(.*", "", row["Kernel Name"])
        name = re.sub(r"<.*", "", name)[:48]
        milliseconds = float(row["Metric Value"].replace(",", "")) * UNITS[row["Metric Unit"]]
        times[name] += milliseconds
        calls[name] += 1
        total += milliseconds
    for name in sorted(times, key=lambda n: -times[n])[:25]:
        print(f"kernel {name}|{times[name]:.3f} ms|{calls[name]} launches, {100 * times[name] / total:.1f} % of the device's time")
    print(f"all kernels|{total:.3f} ms|{sum(calls.values())} launches")


if __name__ == "__main__":
    main()
