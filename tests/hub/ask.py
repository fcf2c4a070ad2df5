#!/usr/bin/env python3
"""What tests say to mock_hub.py, and ask of its log.

    ask.py PORT set REPO [JSON]     its faults from now on; without JSON: none
    ask.py PORT log                 every request, one a line: place status range path
    ask.py PORT log_of REPO         those of a repository, as JSON
    ask.py PORT once REPO FOLDER    each byte of each file under FOLDER's model*.safetensors came from
                                    the store exactly once, and nothing was asked by HEAD
    ask.py PORT ranges REPO PATH    what of a file the store sent, "FIRST END" in the order of the file; that
                                    nothing was sent twice, or asked by HEAD
    ask.py PORT sent REPO           bytes that the store sent
    ask.py PORT pauses REPO         seconds from the answer 429 to the next request for the same path
    ask.py PORT tokens              places that were sent a token, sorted
    ask.py PORT log_tokens          place and host of every request with a token"""
import http.client
import json
import os
import ssl
import sys
from urllib.parse import parse_qs, urlsplit

PORT, COMMAND, REST = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
HTTPS = os.environ.get("HF_ENDPOINT", "").startswith("https")


def request(method, path, body=None):
    connection = (http.client.HTTPSConnection("127.0.0.1", PORT, context=ssl._create_unverified_context())
                  if HTTPS else http.client.HTTPConnection("127.0.0.1", PORT))
    connection.request(method, path, body)
    return connection.getresponse().read()


def log():
    return json.loads(request("GET", "/_log"))


def once(repo, folder):
    pieces = {}
    for entry in log():
        assert entry["method"] == "GET", entry
        if entry["at"] == "store" and entry["repo"] == repo and entry["sent"] > 0:
            name = parse_qs(urlsplit(entry["path"]).query)["file"][0].split("/")[-1]
            pieces.setdefault(name, []).append((entry["first"], entry["first"] + entry["sent"]))
    for name in sorted(os.listdir(folder)):
        if name.startswith("model") and name.endswith(".safetensors"):
            at = 0
            for first, end in sorted(pieces[name]):
                assert first == at, "%s: the bytes from %d on, expected from %d on" % (name, first, at)
                at = end
            assert at == os.path.getsize(os.path.join(folder, name)), (name, at)


def ranges(repo, path):
    at = 0
    for entry in sorted(log(), key=lambda entry: entry["first"]):
        assert entry["method"] == "GET", entry
        file = parse_qs(urlsplit(entry["path"]).query).get("file")
        if entry["at"] == "store" and file == [repo + "/" + path] and entry["sent"] > 0:
            assert entry["first"] >= at, "bytes from %d on were sent twice" % entry["first"]
            if entry["first"] > at or at == 0:
                print("" if at == 0 else "%d\n" % at, entry["first"], end=" ", sep="")
            at = entry["first"] + entry["sent"]
    print(at)


if COMMAND == "set":
    request("POST", "/_set", json.dumps({"repo": REST[0], **json.loads(REST[1] if len(REST) > 1 else "{}")}))
elif COMMAND == "log":
    for e in log():
        print(e["at"], e["status"], e["range"] or "-", e["path"])
elif COMMAND == "log_of":
    print(json.dumps([e for e in log() if e["repo"] == REST[0]]))
elif COMMAND == "once":
    once(*REST)
elif COMMAND == "ranges":
    ranges(*REST)
elif COMMAND == "sent":
    print(sum(e["sent"] for e in log() if e["at"] == "store" and e["repo"] == REST[0]))
elif COMMAND == "pauses":
    entries = [e for e in log() if e["repo"] == REST[0]]
    for i, entry in enumerate(entries):
        if entry["status"] == 429:
            after = [e for e in entries[i + 1:] if (e["at"], e["path"], e["range"]) ==
                     (entry["at"], entry["path"], entry["range"])]
            print(after[0]["time"] - entry["time"])
elif COMMAND == "tokens":
    print(*sorted({e["at"] for e in log() if e["token"]}))
elif COMMAND == "log_tokens":
    for e in log():
        if (e["token"] or "").startswith("Bearer "):
            print(e["at"], e["host"])
else:
    sys.exit("unknown: " + COMMAND)
