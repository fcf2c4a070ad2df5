#!/usr/bin/env python3
"""usage: terminal.py COLUMNS COMMAND...

Run a command whose standard error is a terminal of so many columns, and print each line
that it draws there over the one before (what stands between "\\r" and "erase to the end of
the line")."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
process = subprocess.Popen(sys.argv[2:], stderr=theirs, stdout=subprocess.DEVNULL)
os.close(theirs)
text = b""
while True:
    try:
        some = os.read(ours, 65536)
    except OSError:
        break
    if not some:
        break
    text += some
for line in re.findall(rb"\r([^\r\n\x1b]+)\x1b\[K", text):
    print(line.decode())
sys.exit(process.wait())
