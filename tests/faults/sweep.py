#!/usr/bin/env python3
"""Let every call of the system fail once, and see that nothing is silent.

usage: sweep.py BUILD [STEP [CALL...]]

A small run of ol-extract, ol-analyze on its file, and ol-report on the results, are repeated with
the k-th call of each kind failing (fault.c), for every STEP-th k. Each must end with the result of
the undisturbed run, or with status 1 and one line on stderr and no output; and what a run leaves
must be finished by --resume.
The first k is another one every day, so that STEP leaves none out for ever. malloc must be
named: OpenSSL 3 crashes where its own first allocations fail. Needs h5py."""
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time

import h5py

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLANTED = os.path.join(ROOT, "data/planted")
ERRORS = {
    "pwrite": ["EIO", "SHORT", "EINTR"],
    "pread": ["EIO", "SHORT", "EINTR"],
    "write": ["EIO"],
    "fdatasync": ["EIO"],
    "fsync": ["EIO"],
    "ftruncate": ["EIO"],
    "fallocate": ["ENOSPC"],
    "posix_fallocate": ["ENOSPC"],
    "rename": ["EIO"],
    "linkat": ["EIO"],
    "nameless": ["EPERM"],
    "close": ["EIO"],
    "mmap": ["ENOMEM"],
    "malloc": ["ENOMEM"],
    "fread": ["EIO"],
    "fwrite": ["EIO"],
    "flock": ["ENOLCK"],
}
KILLS = ["pwrite", "fdatasync", "fsync", "rename", "ftruncate"]
# A page is written by more than 100,000 calls, and a run takes memory 400,000 times.
MOST_OF_READERS = 40
MOST_OF_MALLOCS = {True: 2000, False: 25}
OF_THE_RUN = {"command_line", "created", "peak_memory"}


class Silent(Exception):
    pass


def content(path):
    """All that two runs of one command have in common."""
    found = {}

    def add(name, o):
        if name == "receipt":
            return
        for key, value in o.attrs.items():
            if key not in OF_THE_RUN:
                found[name, key] = value if isinstance(value, str) else value.tolist()
        if isinstance(o, h5py.Dataset):
            values = o[...]
            found[name] = values.tolist() if values.dtype == object else values.tobytes()

    with h5py.File(path) as f:
        add("/", f)
        f.visititems(add)
    return found


class Sweep:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.ids = os.path.abspath("ids")
        with open(os.path.join(PLANTED, "ids.txt")) as lines, open(self.ids, "w") as ids:
            for _ in range(2):
                ids.write(" ".join(next(lines).split()[:20]) + "\n")
        self.extract = [f"{self.build}/ol-extract", "-q", PLANTED, "--ids", self.ids, "--perplexity", "--keep-every", "0", "-o", "run.h5"]
        analyze = [f"{self.build}/ol-analyze", "--threads", "1", "run.h5"]
        report = [f"{self.build}/ol-report", "calm.json"]
        self.readers = [analyze, analyze + ["-o", "out"], report, report + ["-f", "html", "-o", "out"]]
        self.n = 0

    def run(self, command, **fault):
        env = dict(os.environ, LC_ALL="C")
        if fault:
            env.update({f"FAULT_{k.upper()}": str(v) for k, v in fault.items()})
            # A tool with the address sanitizer wants that to be first.
            env.update(LD_PRELOAD=f"{self.build}/tests/fault.so", ASAN_OPTIONS="verify_asan_link_order=0")
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    def count(self, command, call):
        done = self.run(command, call=call, at=0, count="calls")
        if done.returncode != 0:
            raise Silent(f"an undisturbed run fails: {done.stderr}")
        with open("calls") as f:
            return int(f.read())

    def check_line(self, done, what):
        lines = [l for l in done.stderr.splitlines() if "can be finished with --resume" not in l]
        if done.returncode != 1 or len(lines) != 1 or not lines[0].startswith("ol-") or len(lines[0]) > 250:
            raise Silent(f"{what}: status {done.returncode}, stderr {done.stderr[:1000]!r}")

    def clean(self):
        for name in os.listdir("."):
            if name.startswith("run.h5"):
                os.unlink(name)

    def finish(self, calm, what):
        """What a run that failed left: a whole file, something to go on with, or nothing."""
        if os.path.exists("run.h5") and content("run.h5") != calm:
            raise Silent(f"{what}: what has the final name is not whole")
        again = self.run(self.extract + ["--resume"])
        if again.returncode != 0:
            raise Silent(f"{what}: --resume fails: {again.stderr}")
        if content("run.h5") != calm:
            raise Silent(f"{what}: --resume gives other data")
        left = sorted(name for name in os.listdir(".") if name.startswith("run.h5"))
        if left != ["run.h5"]:
            raise Silent(f"{what}: left behind: {left}")

    def of_extract(self, calm, call, error, k):
        what = f"ol-extract, {call} {k} {error}"
        self.clean()
        done = self.run(self.extract, call=call, at=k, error=error)
        self.n += 1
        if done.returncode == 0:
            if content("run.h5") != calm:
                raise Silent(f"{what}: status 0, but other data")
            if error != "ENOLCK" and done.stderr:
                raise Silent(f"{what}: status 0, but {done.stderr!r}")
            if os.listdir(".").count("run.h5.partial"):
                raise Silent(f"{what}: status 0, but run.h5.partial is there")
            return
        if error not in ("TORN", "KILL"):
            self.check_line(done, what)
        self.finish(calm, what)

    def read(self, command, **fault):
        """What a tool that reads one file ends with, and the bytes that it has written, or None."""
        if os.path.exists("out"):
            os.unlink("out")
        done = self.run(command, **fault)
        if command[-2] != "-o":
            return done, done.stdout
        if not os.path.exists("out"):
            return done, None
        with open("out") as f:
            return done, f.read()

    def of_reader(self, command, calm, call, error, k):
        what = f"{os.path.basename(command[0])} {' '.join(command[1:])}, {call} {k} {error}"
        done, written = self.read(command, call=call, at=k, error=error)
        self.n += 1
        left = [name for name in os.listdir(".") if name.startswith("out") and name != "out"]
        if left:
            raise Silent(f"{what}: left behind: {left}")
        if done.returncode != 0:
            self.check_line(done, what)
            # What failed after all was done is told too, standard output that cannot be closed, say.
            if command[-2] == "-o" and written is not None and written != calm:
                raise Silent(f"{what}: status 1, and an output that is not whole")
        elif written != calm or (done.stderr and error != "ENOLCK"):
            raise Silent(f"{what}: status 0, but other results, or {done.stderr!r}")

    def sweep(self, step, calls):
        if self.run(self.extract).returncode != 0:
            raise Silent("an undisturbed run fails")
        calm = content("run.h5")
        shutil.copy("run.h5", "calm.h5")
        failures = []

        def each(check, command, call, errors):
            for error in errors:
                self.clean()
                if command is not self.extract:
                    shutil.copy("calm.h5", "run.h5")
                n = self.count(command, call)
                before = self.n
                stride = step if step == 1 or command is self.extract else max(step, n // MOST_OF_READERS)
                if call == "malloc":
                    stride = max(step, n // MOST_OF_MALLOCS[step == 1])
                for k in range(1 + int(time.time()) // 86400 % stride, n + 1, stride):
                    try:
                        check(call, error, k)
                    except Silent as problem:
                        failures.append(problem)
                        print(f"FAILED {problem}", flush=True)
                    except subprocess.TimeoutExpired:
                        failures.append(call)
                        print(f"FAILED {command[0]}, {call} {k} {error}: it does not end", flush=True)
                print(f"{os.path.basename(command[0])} {call} {error}: {self.n - before} of {n}", flush=True)

        for call in calls:
            each(functools.partial(self.of_extract, calm), self.extract, call, ERRORS[call] + (["TORN"] if call == "pwrite" else ["KILL"] if call in KILLS else []))
        self.clean()
        shutil.copy("calm.h5", "run.h5")
        with open("calm.json", "w") as f:
            f.write(self.run(self.readers[0]).stdout)
        for command in self.readers:
            done, wanted = self.read(command)
            if done.returncode != 0:
                raise Silent(f"an undisturbed run fails: {done.stderr}")
            for call in calls:
                each(functools.partial(self.of_reader, command, wanted), command, call, ERRORS[call])
        print(f"{self.n} calls failed, {len(failures)} wrongly")
        return 1 if failures else 0


def main():
    step = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    build = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        status = Sweep(build).sweep(step, sys.argv[3:] or [call for call in ERRORS if call != "malloc"])
        os.chdir("/")
    sys.exit(status)


main()
