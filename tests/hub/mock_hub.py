#!/usr/bin/env python3
"""A Hub for tests, on this machine: its API and files on one port, on a second the store to which
it redirects for large files, on a third a proxy. Repositories are ROOT/ORG/NAME/files, those of data
sets ROOT/datasets/ORG/NAME/files; their names are as in the Hub's addresses, datasets/ORG/NAME.

    mock_hub.py ROOT [ADDRESS [CERTIFICATE KEY]]    prints "HUB STORE PROXY" (ports) and serves until
                                                    it is killed; with a certificate by https

    POST /_set {"repo": "ORG/NAME", FAULT: VALUE, ...}   that repository behaves so from now on
    GET /_log                                            what was asked for, as JSON, and forget it

What is at most a mebibyte and neither .safetensors nor .parquet lies in git, the rest in the store. Faults are of one
repository, so that tests can run side by side. Those that are lists are used up from the front, one
element by one request; an element of None is no fault."""
import gzip
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

ROOT = os.path.abspath(sys.argv[1])
ADDRESS = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
SCHEME = "https" if len(sys.argv) > 3 else "http"
HOST = "[%s]" % ADDRESS if ":" in ADDRESS else ADDRESS
USUAL = {
    "hub": [],          # statuses, or [status, {header: value}], in place of the Hub's answers
    "store": [],        # and of the store's
    "cut": [],          # the store closes the connection after so many bytes of a body
    "range": [],        # of the store's ranges: "ignored", "shifted", "unsaid" (no Content-Range),
                        # "other size", "short" (fewer bytes than asked for, rightly said)
    "flip": [],         # offsets: this byte of the file is sent wrong, once
    "slow": [],         # seconds between two bytes of the store's bodies
    "pause": 0,         # seconds before the store answers
    "rate": 0,          # bytes per second of all the store's bodies together; 0: as fast as it goes
    "ttl": 3600,        # seconds for which a signed URL is valid
    "small": False,     # what the store does wrong the Hub does too, with small files
    "gzip": False,      # everything comes compressed
    "token": None,      # that opens it; None: it is public
    "gated": False,     # its files are open to `token` alone, its listing to everybody
    "renamed": None,    # the repository that it has become
    "disabled": False,  # taken down
    "answer": None,     # the API's, in place of a listing
    "sizes": True,      # whether the first listing has sizes; else the tree has them
    "page": 1000,       # entries of a page of the tree
    "next": None,       # where a page says that the next one is
    "extra": [],        # paths that are listed too
    "claimed": 0,       # bytes by which the listing makes files longer than they are
    "grown": 0,         # bytes by which the store's files are longer than the listing says
    "redirect": None,   # where files are said to be, in place of the store; "loop"
    "etag": None,       # that a redirect names, in place of the file's own
    "commit": None,     # what its commit is said to be
    "direct": False,    # large files come from the Hub itself
    "date": "Expires",  # how a URL says when it expires: "X-Amz", or None
}
FAULTS, LOG, LOCK = {}, [], threading.Lock()


def fault(repo, name):
    with LOCK:
        value = FAULTS.get(repo, {}).get(name, USUAL[name])
        return (value.pop(0) if value else None) if isinstance(USUAL[name], list) and name != "extra" else value


def pace(repo, n, rate, free={}):
    """Wait until so many bytes may have passed."""
    with LOCK:
        free[repo] = max(free.get(repo, 0), time.time()) + n / rate
        wait = free[repo] - time.time()
    if wait > 0:
        time.sleep(wait)


def facts(path, known={}):
    """Size, git's SHA-1, SHA-256, whether it lies in the store."""
    state = os.stat(path)
    key = (path, state.st_mtime_ns, state.st_size)
    if key not in known:
        with open(path, "rb") as file:
            data = file.read()
        known[key] = (len(data), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
                      hashlib.sha256(data).hexdigest(), len(data) > 1 << 20 or path.endswith((".safetensors", ".parquet")))
    return known[key]


def files(repo):
    top = os.path.join(ROOT, repo)
    return sorted((os.path.relpath(os.path.join(base, name), top), os.path.join(base, name))
                  for base, _, names in os.walk(top) for name in names)


def commit(repo):
    return fault(repo, "commit") or hashlib.sha1("".join(path + facts(full)[1] for path, full in files(repo)).encode()).hexdigest()


def name_length(words):
    """How many words of a path are a repository's name."""
    return 3 if words[:1] == ["datasets"] else 2


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repo, sent, first = "", 0, 0

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        """URLs are signed for GET, and nothing needs HEAD."""
        self.reply(403)

    def note(self, status):
        with LOCK:
            LOG.append({"at": self.server.role, "method": self.command, "path": self.path, "host": self.headers.get("Host"), "time": time.time(), "repo": self.repo,
                        "status": status, "range": self.headers.get("Range"), "token": self.headers.get("Authorization"),
                        "agent": self.headers.get("User-Agent"), "encoding": self.headers.get("Accept-Encoding"),
                        "first": self.first, "sent": self.sent})

    def reply(self, status, body=b"", headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.note(status)
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, value, headers=None):
        body, headers = json.dumps(value).encode(), dict(headers or {})
        if fault(self.repo, "gzip"):
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        self.reply(200, body, {"Content-Type": "application/json", **headers})

    def refuse(self, status, code, message, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if code:
            headers["X-Error-Code"] = code
        self.reply(status, json.dumps({"error": message}).encode(), {"X-Error-Message": message, **headers})

    def refused(self, name):
        """Whether a status of the list stood for this request."""
        instead = fault(self.repo, name)
        if instead is None:
            return False
        status, headers = instead if isinstance(instead, list) else (instead, {})
        self.reply(status, b"instead: %d" % status, headers)
        return True

    def wanted(self, size):
        """First and end of the range that is asked for; None where none is."""
        spec = self.headers.get("Range")
        if not spec:
            return None
        first, _, last = spec[len("bytes="):].partition("-")
        return int(first), min(int(last) + 1, size) if last else size

    def send_file(self, full, headers, faulty):
        size = os.path.getsize(full)
        asked, kind = self.wanted(size), faulty and fault(self.repo, "range")
        first, end = asked if asked and kind != "ignored" else (0, size)
        if first >= size > 0:
            return self.reply(416, b"", {"Content-Range": "bytes */%d" % size})
        if kind == "shifted":
            first += 1
        if kind == "short":
            end -= (end - first) // 2
        with open(full, "rb") as file:
            file.seek(first)
            data = bytearray(file.read(end - first))
        flip = faulty and FAULTS.get(self.repo, {}).get("flip") or []
        if flip and first <= flip[0] < end:
            data[flip.pop(0) - first] ^= 1
        if faulty and fault(self.repo, "gzip"):
            data, headers["Content-Encoding"] = gzip.compress(bytes(data)), "gzip"
        status = 206 if asked and kind != "ignored" else 200
        if status == 206 and kind != "unsaid":
            said = size + (kind == "other size") + (faulty and fault(self.repo, "grown") or 0)
            headers["Content-Range"] = "bytes %d-%d/%d" % (first, end - 1, said)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.send_body(bytes(data), first, status, faulty)

    def send_body(self, data, first, status, faulty):
        cut, slow = faulty and fault(self.repo, "cut"), faulty and fault(self.repo, "slow")
        if cut is not None and cut is not False:
            data, self.close_connection = data[:cut], True
        self.first, self.sent = first, 0
        data = b"" if self.command == "HEAD" else data
        rate = faulty and fault(self.repo, "rate")
        step = 1 if slow else 1 << 18 if rate else 1 << 16
        try:
            for at in range(0, len(data), step):
                self.wfile.write(data[at:at + step])
                self.sent = min(len(data), at + step)
                if slow:
                    time.sleep(slow)
                if rate:
                    pace(self.repo, min(step, len(data) - at), rate)
        except OSError:
            self.close_connection = True
        self.note(status)


class Hub(Handler):
    def do_POST(self):
        values = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert set(values) <= set(USUAL) | {"repo"}, values
        with LOCK:
            FAULTS[values.pop("repo")] = values
        self.send_response(204)
        self.end_headers()

    def do_GET(self):
        url = urlsplit(self.path)
        words, query = [unquote(word) for word in url.path.split("/")[1:]], parse_qs(url.query)
        self.repo, self.first, self.sent = "", 0, 0
        if words == ["_log"]:
            with LOCK:
                body = json.dumps(LOG).encode()
                LOG.clear()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return self.wfile.write(body)
        kind, rest = "page", words
        if words[0] == "api":
            rest = words[2:] if words[1:2] == ["models"] else words[1:]
            kind = "cached" if words[1:2] == ["resolve-cache"] else "api"
            if kind == "cached":
                rest = words[3:] if words[2:3] == ["models"] else words[2:]
        n = name_length(rest)
        repo, rest = "/".join(rest[:n]), rest[n:]
        if kind == "api" and len(rest) >= 2:
            return self.serve_api(repo, rest[0], rest[1], query, rest[2] if len(rest) > 2 else None)
        if kind == "api" and not rest:  # as huggingface_hub asks
            return self.serve_api(repo, "revision", "main", query, None)
        if kind == "cached" and len(rest) >= 2:
            return self.serve_file(repo, rest[0], rest[1:], True)
        if rest[:1] == ["resolve"] and len(rest) > 2:
            return self.serve_file(repo, rest[1], rest[2:], False)
        return self.refuse(404, None, "Not Found")

    def may(self, repo):
        return fault(repo, "token") in (None, (self.headers.get("Authorization") or "")[len("Bearer "):])

    def is_stopped(self, repo, revision):
        """What stands in the way of any answer about a repository."""
        self.repo = repo
        if self.refused("hub"):
            return True
        if fault(repo, "renamed"):
            self.reply(307, b"", {"Location": self.path.replace(repo, fault(repo, "renamed"), 1)})
        elif not os.path.isdir(os.path.join(ROOT, repo)) or not (self.may(repo) or fault(repo, "gated")):
            if self.headers.get("Authorization") == "Bearer hf_unknown":
                self.refuse(401, None, "Invalid credentials in Authorization header")
            elif self.headers.get("Authorization"):
                self.refuse(404, "RepoNotFound", "Repository not found")
            else:
                self.refuse(401, None, "Invalid username or password.")
        elif fault(repo, "disabled"):
            self.refuse(403, None, "Access to this resource is disabled.")
        elif revision not in ("main", "v1.0", "refs/pr/1", commit(repo)):
            self.refuse(404, "RevisionNotFound", "Invalid rev id: " + revision)
        else:
            return False
        return True

    def serve_api(self, repo, what, revision, query, folder):
        if self.is_stopped(repo, revision):
            return None
        if fault(repo, "answer") is not None:
            return self.reply_json(fault(repo, "answer"))
        more = fault(repo, "claimed")
        listed, extra = [(path, n + more, *rest) for path, (n, *rest) in (
            (path, facts(full)) for path, full in files(repo))], fault(repo, "extra")
        listed += [(path, 1, "0" * 40, "0" * 64, False) for path in extra]
        if what == "revision":
            sizes = fault(repo, "sizes") and "blobs" in query
            return self.reply_json({"id": repo, "sha": commit(repo), "private": False, "gated": fault(repo, "gated"),
                                    "disabled": False, "siblings": [
                {"rfilename": path, **({"size": size, "blobId": oid} if sizes else {}),
                 **({"lfs": {"sha256": sha256, "size": size, "pointerSize": 134}} if lfs and sizes else {})}
                for path, size, oid, sha256, lfs in listed]})
        if query.get("recursive") == ["false"]:
            listed = [entry for entry in listed if os.path.dirname(entry[0]) == (folder or "")]
            if not listed:
                return self.refuse(404, "EntryNotFound", "%s does not exist" % folder, X_Repo_Commit=commit(repo))
        entries = [{"type": "directory", "path": "original", "oid": "1" * 40, "size": 0}]
        entries += [{"type": "file", "path": path, "size": 134 if lfs else size, "oid": oid,
                     **({"lfs": {"oid": sha256, "size": size, "pointerSize": 134}} if lfs else {})}
                    for path, size, oid, sha256, lfs in listed]
        at, page = int(query.get("cursor", ["0"])[0]), fault(repo, "page")
        following = fault(repo, "next") or "http://%s%s?recursive=true&cursor=%d" % (
            self.headers["Host"], urlsplit(self.path).path, at + page)
        more = {"Link": '<%s>; rel="next"' % following} if at + page < len(entries) else {}
        return self.reply_json(entries[at:at + page], more)

    def serve_file(self, repo, revision, words, cached):
        if self.is_stopped(repo, revision):
            return None
        path = "/".join(words)
        full = os.path.join(ROOT, repo, path)
        if fault(repo, "gated") and not self.may(repo):
            asked = bool(self.headers.get("Authorization"))
            return self.refuse(403 if asked else 401, "GatedRepo", "Access to model %s is restricted." % repo)
        if not os.path.isfile(full):
            return self.refuse(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit(repo))
        size, oid, sha256, lfs = facts(full)
        size += fault(repo, "grown") if lfs else 0
        known = {"X-Repo-Commit": commit(repo), "X-Linked-Size": size, "X-Linked-ETag": '"%s"' % (fault(repo, "etag") or (sha256 if lfs else oid))}
        if fault(repo, "redirect") == "loop":
            return self.reply(302, b"", {"Location": self.path})
        if fault(repo, "redirect"):
            return self.reply(302, b"Found", {"Location": fault(repo, "redirect"), **known})
        if lfs and fault(repo, "direct"):
            return self.send_file(full, {"ETag": '"%s"' % sha256}, True)
        if cached:
            return self.send_file(full, {"ETag": '"%s"' % oid, "X-Repo-Commit": commit(repo)}, fault(repo, "small"))
        if not lfs:
            place = "/api/resolve-cache/%s%s/%s/%s" % (
                "" if repo.startswith("datasets/") else "models/", repo, commit(repo), quote(path))
            return self.reply(307, b"Temporary Redirect", {"Location": place, **known})
        return self.reply(302, b"Found", {"Location": sign(repo, path, sha256), "ETag": '"%s"' % oid, **known})

    def do_HEAD(self):
        """huggingface_hub asks so; what is tested here never does."""
        self.do_GET()


def mark(path, expires):
    return hmac.new(b"mock", ("%s %d" % (path, expires)).encode(), "sha256").hexdigest()


def sign(repo, path, sha256):
    """The store's URL of a file, which says in one of three ways until when it is valid."""
    now, ttl, form = int(time.time()), fault(repo, "ttl"), fault(repo, "date")
    said = {"Expires": "Expires=%d" % (now + ttl), None: "x=1", "X-Amz": "X-Amz-Date=%s&X-Amz-Expires=%d" % (
        time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), ttl)}[form]
    where = repo + "/" + path
    return "%s://%s:%d/blob/%s?%s&until=%d&Signature=%s&file=%s" % (
        SCHEME, HOST, PORTS["store"], sha256, said, now + ttl, mark(where, now + ttl), quote(where, safe=""))


class Store(Handler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        where, until = query.get("file", ["/"])[0], int(query.get("until", ["0"])[0])
        self.repo, self.first, self.sent = "/".join(where.split("/")[:name_length(where.split("/"))]), 0, 0
        if self.headers.get("Authorization"):
            return self.reply(400, b"<Error>Only one auth mechanism allowed</Error>")
        time.sleep(fault(self.repo, "pause"))
        if self.refused("store"):
            return None
        if query.get("Signature") != [mark(where, until)] or until < time.time():
            return self.reply(403, b"<Error>Request has expired</Error>")
        return self.send_file(os.path.join(ROOT, where), {"ETag": '"%s"' % query["Signature"][0][:32]}, True)


class Proxy(Handler):
    def do_GET(self):
        url = urlsplit(self.path)
        there = http.client.HTTPConnection(url.hostname, url.port)
        there.request("GET", url.path + ("?" + url.query if url.query else ""),
                      headers={k: v for k, v in self.headers.items() if not k.lower().startswith("proxy-")})
        answer = there.getresponse()
        body = answer.read()
        self.reply(answer.status, body, {k: v for k, v in answer.getheaders() if k.lower() not in (
            "content-length", "connection", "transfer-encoding", "date", "server")})


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that goes away is what many tests are about."""


PORTS = {}
for role, handler in (("hub", Hub), ("store", Store), ("proxy", Proxy)):
    server = Server((ADDRESS, 0), handler)
    server.role = role
    if SCHEME == "https" and role != "proxy":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    PORTS[role] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(PORTS["hub"], PORTS["store"], PORTS["proxy"], flush=True)
threading.Event().wait()
