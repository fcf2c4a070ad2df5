#!/usr/bin/env python3
"""kernels.py FILE.csv OPERATIONS PEAK: what ncu measured with --metrics gpu__time_duration.sum --csv, by kernel:
lines NAME|MILLISECONDS|NOTE, the longest first, then what experts cost beside their products,
attention, and the sum of all. OPERATIONS of attention, at PEAK TFLOP/s (0: not known)."""
import csv
import re
import sys
from collections import defaultdict

UNITS = {"nsecond": 1e-6, "ns": 1e-6, "usecond": 1e-3, "us": 1e-3, "msecond": 1, "ms": 1, "second": 1e3, "s": 1e3}


# Kernels of extract/cuda by what they are for.
GROUPS = {
    "router, permute and combine": ("route_kernel", "count_kernel", "scan_kernel", "place_kernel", "gather", "scatter_add"),
    "attention": ("attention_bf16_kernel", "attention_f32_kernel"),
}


def main():
    total, times, calls = 0.0, defaultdict(float), defaultdict(int)
    with open(sys.argv[1], newline="") as f:
        lines = [line for line in f if line.startswith('"')]
    operations, peak = map(float, sys.argv[2:])
    for row in csv.DictReader(lines):
        if row["Metric Name"] != "gpu__time_duration.sum":
            continue
        name = re.sub(r"^void |\(.*", "", row["Kernel Name"])
        name = re.sub(r"<.*", "", name)[:48]
        milliseconds = float(row["Metric Value"].replace(",", "")) * UNITS[row["Metric Unit"]]
        times[name] += milliseconds
        calls[name] += 1
        total += milliseconds
    if total == 0:
        sys.exit("Error: no kernel was measured")
    for name in sorted(times, key=lambda n: -times[n])[:25]:
        print(f"kernel {name}|{times[name]:.3f} ms|{calls[name]} launches, {100 * times[name] / total:.1f} % of the device's time")
    for group, names in GROUPS.items():
        own = sum(times[name] for name in names if name in times)
        launches = sum(calls[name] for name in names if name in calls)
        rate = operations / own / 1e9 if group == "attention" and own > 0 else 0
        print(f"{group}|{own:.3f} ms|{launches} launches, {100 * own / total:.1f} % of the device's time"
              + (f"; {rate:.0f} TFLOP/s" if rate > 0 else "")
              + (f", {100 * rate / peak:.0f} % of cuBLAS' best" if rate > 0 and peak > 0 else ""))
    print(f"all kernels|{total:.3f} ms|{sum(calls.values())} launches")


if __name__ == "__main__":
    main()
