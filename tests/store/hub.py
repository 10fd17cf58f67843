"""A hub of models on this machine that speaks as much of the Hugging Face Hub's HTTP as its client needs here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import yaml


class Hub:
    """Repositories as lists of commits, each a dict of paths to contents; the last is the main branch.

    ``requests`` notes what was asked, ``tokens`` who asked.
    """

    def __init__(self):
        self.repositories, self.branches, self.private = {}, {}, set()
        self.requests, self.tokens = [], []
        self.messages = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo, revision="main"):
        return self.repositories[repo][self._index(repo, revision)]

    def put(self, repo, files, branch="main"):
        self.repositories.setdefault(repo, []).append(dict(files))
        self.branches.setdefault(repo, {})[branch] = len(self.repositories[repo]) - 1

    def sha(self, repo, revision):
        return self._name(repo, self._index(repo, revision))

    def _name(self, repo, index):
        return hashlib.sha1(f"{repo}{index}".encode()).hexdigest()

    def _index(self, repo, revision):
        if revision in self.branches[repo]:
            return self.branches[repo][revision]
        return [self._name(repo, i) for i in range(len(self.repositories[repo]))].index(revision)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def _answer(self, body=True):
        path = unquote(self.path.partition("?")[0])
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, path))
        self.hub.tokens.append(self.headers.get("Authorization"))
        for pattern, answer in _ANSWERS:
            if found := re.fullmatch(pattern, path):
                try:
                    status, headers, content = answer(self.hub, given, **found.groupdict())
                except KeyError:
                    status, headers, content = 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
                except ValueError:
                    status, headers, content = 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
                break
        else:
            status, headers, content = 404, {}, b"{}"
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _json(content):
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _info(hub, given, repo, revision="main"):
    siblings = [{"rfilename": path} for path in hub.files(repo, revision)]
    return _json({"id": repo, "modelId": repo, "sha": hub.sha(repo, revision), "siblings": siblings, "tags": []})


def _tree(hub, given, repo, revision):
    files = hub.files(repo, revision)
    return _json([{"type": "file", "path": p, "size": len(d), "oid": _blob(d)} for p, d in files.items()])


def _resolve(hub, given, repo, revision, path):
    files = hub.files(repo, revision)
    if path not in files:
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    headers = {"ETag": f'"{_blob(files[path])}"', "X-Repo-Commit": hub.sha(repo, revision)}
    return 200, headers, files[path]


def _create(hub, given):
    asked = json.loads(given)
    repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"user/{asked['name']}"
    if repo in hub.repositories:
        return 409, {}, json.dumps({"url": f"{hub.url}/{repo}"}).encode()
    hub.put(repo, {".gitattributes": b""})
    if asked.get("private") or asked.get("visibility") == "private":
        hub.private.add(repo)
    return _json({"url": f"{hub.url}/{repo}"})


def _preupload(hub, given, repo, revision):
    files = json.loads(given)["files"]
    return _json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})


def _validate(hub, given):
    head = yaml.safe_load(json.loads(given)["content"].split("---\n")[1])
    return _json({"errors": [] if head["library_name"] == "dsae" else [{"message": "no library"}], "warnings": []})


def _commit(hub, given, repo, revision):
    files = dict(hub.files(repo, revision))
    for line in map(json.loads, given.decode().splitlines()):
        value = line["value"]
        if line["key"] == "header":
            hub.messages.append(value["summary"])
        elif line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "deletedFile":
            del files[value["path"]]
    hub.put(repo, files, revision)
    sha = hub.sha(repo, revision)
    return _json({"success": True, "commitUrl": f"{hub.url}/{repo}/commit/{sha}", "commitOid": sha, "hookOutput": ""})


_REPO, _REVISION = r"(?P<repo>[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
_ANSWERS = [
    (r"/api/repos/create", _create),
    (r"/api/validate-yaml", _validate),
    (rf"/api/models/{_REPO}", _info),
    (rf"/api/models/{_REPO}/revision/{_REVISION}", _info),
    (rf"/api/models/{_REPO}/tree/{_REVISION}", _tree),
    (rf"/api/models/{_REPO}/preupload/{_REVISION}", _preupload),
    (rf"/api/models/{_REPO}/commit/{_REVISION}", _commit),
    (rf"/{_REPO}/resolve/{_REVISION}/(?P<path>.+)", _resolve),
]
