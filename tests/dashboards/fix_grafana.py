"""The part of Grafana's API that ``civobs grafana`` uses, on a port of this machine: it keeps what it is given, answers
as Grafana 13 does, and misbehaves on request."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from civobs_collector.grafana.settings import GrafanaSettings

TOKEN = "glsa_test"
Json = dict[str, Any]


@dataclass
class FakeGrafana:
    """What it holds, by uid, and how it misbehaves."""

    url: str = ""
    version: str = "13.1.0"
    role: str = "Admin"
    datasources: dict[str, Json] = field(default_factory=dict)
    folders: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)
    receivers: dict[str, Json] = field(default_factory=dict)
    policy: Json = field(default_factory=lambda: {"receiver": "grafana-default-email", "routes": []})
    database_ok: bool = True
    answers_as: str = "json"
    """``html``: a proxy's page; ``slow``: not at all."""
    fails_at: str = ""
    """A regular expression of method and path at which it fails with 500."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request that changes something."""

    def dashboard(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        if method == "POST":
            board = body["dashboard"]
            uid = board["uid"]
            old = self.dashboards.get(uid)
            if old is not None and old["meta"]["provisioned"]:
                return 400, {"message": "Cannot save provisioned dashboard"}
            if body["folderUid"] not in self.folders:
                return 400, {"message": "folder not found"}
            version = 1 if old is None else old["dashboard"]["version"] + 1
            stored = {**board, "id": 7, "version": version}
            self.dashboards[uid] = {
                "dashboard": stored,
                "meta": {"folderUid": body["folderUid"], "provisioned": False},
            }
            return 200, {"status": "success", "uid": uid, "version": version}
        uid = path.rpartition("/")[2]
        if method == "DELETE":
            return (200, {}) if self.dashboards.pop(uid, None) else (404, {"message": "Dashboard not found"})
        return (200, self.dashboards[uid]) if uid in self.dashboards else (404, {"message": "Dashboard not found"})

    def search(self, query: dict[str, list[str]]) -> list[Json]:
        return [
            {"uid": uid, "tags": one["dashboard"].get("tags", [])}
            for uid, one in self.dashboards.items()
            if one["meta"]["folderUid"] in query["folderUIDs"]
            and set(query["tag"]) <= set(one["dashboard"].get("tags", []))
        ]

    def stored(self, kind: dict[str, Json], method: str, uid: str, body: Json) -> tuple[int, Any]:
        """Rules and receivers, which remember by whom they were made."""
        old = kind.get(uid)
        if method == "POST":
            if body["uid"] in kind:
                return 409, {"message": "uid is taken"}
            kind[body["uid"]] = {**body, "provenance": "api"}
            return 201, kind[body["uid"]]
        if old is None:
            return 404, {"message": "not found"}
        if old["provenance"] == "file" and method != "GET":
            return 409, {"message": "cannot change provenance from 'file' to 'api'"}
        if method == "DELETE":
            del kind[uid]
            return 204, None
        kind[uid] = {**body, "provenance": "api"}
        return 200, kind[uid]

    def tree(self, method: str, body: Json) -> tuple[int, Any]:
        if method == "PUT":
            names = {route["receiver"] for route in body["routes"]}
            if missing := names - {one["name"] for one in self.receivers.values()} - {"grafana-default-email"}:
                return 400, {"message": f"receiver {missing} does not exist"}
            self.policy = {**body, "provenance": "api"}
            return 202, {"message": "policies updated"}
        return 200, self.policy

    def answer(  # noqa: C901, PLR0911 # one line a path
        self, method: str, path: str, query: dict[str, list[str]], body: Json
    ) -> tuple[int, Any]:
        provisioning, uid = "/api/v1/provisioning", path.rpartition("/")[2]
        if path == "/api/frontend/settings":
            return 200, {"buildInfo": {"version": self.version}}
        if path.startswith("/api/datasources"):
            return self.datasource(method, path, body)
        if path.startswith("/api/folders"):
            if method == "POST":
                self.folders[body["uid"]] = body
                return 200, body
            if method == "DELETE":
                return 200, self.folders.pop(uid)
            return (200, self.folders[uid]) if uid in self.folders else (404, {"message": "folder not found"})
        if path.startswith("/api/dashboards/"):
            return self.dashboard(method, path, body)
        if path == "/api/ds/query":
            return 200, {"results": {"A": {"status": 200, "frames": [{"schema": {"fields": [{"name": "value"}]}}]}}}
        if path == "/api/search":
            return 200, self.search(query)
        if path.startswith(f"{provisioning}/policies"):
            return self.tree(method, body)
        for name, kind in (("alert-rules", self.rules), ("contact-points", self.receivers)):
            if path == f"{provisioning}/{name}" and method == "GET":
                wanted = query.get("name")
                return 200, [one for one in kind.values() if not wanted or one["name"] in wanted]
            if path.startswith(f"{provisioning}/{name}"):
                return self.stored(kind, method, uid, body)
        return 404, {"message": f"this is no part of it: {method} {path}"}

    def datasource(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        uid = path.removesuffix("/health").rpartition("/")[2]
        if path.endswith("/health"):
            said = {"status": "OK", "message": "Database Connection OK"}
            return (200, said) if self.database_ok else (400, {"status": "ERROR", "message": "connection refused"})
        if method == "DELETE":
            return 200, self.datasources.pop(uid)
        if method in {"POST", "PUT"}:
            # The password is kept and given to nobody.
            self.datasources[body["uid"]] = {**body, "secureJsonFields": {"password": "secureJsonData" in body}}
            self.datasources[body["uid"]].pop("secureJsonData", None)
            return 200, {"datasource": body, "id": 1}
        return (200, self.datasources[uid]) if uid in self.datasources else (404, {"message": "Data source not found"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    grafana: FakeGrafana

    def _answer(self) -> None:
        address, method = urlsplit(self.path), self.command
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.grafana.answers_as == "slow":
            time.sleep(1)
        code, answer = self._said(method, address.path, parse_qs(address.query), json.loads(raw) if raw else {})
        html = self.grafana.answers_as == "html"
        text = b"<html>a proxy's page</html>" if html else b"" if answer is None else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _said(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> tuple[int, Any]:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if method != "GET":
            if self.grafana.role != "Admin":
                return 403, {"message": "You'll need additional permissions"}
            self.grafana.asked.append(f"{method} {path}")
        if self.grafana.fails_at and re.search(self.grafana.fails_at, f"{method} {path}"):
            return 500, {"message": "database is locked"}
        return self.grafana.answer(method, path, query, body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 # as the library calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(grafana: FakeGrafana) -> Iterator[FakeGrafana]:
    """The fake, on a port of its own."""
    handler = type("Handler", (_Handler,), {"grafana": grafana})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    grafana.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield grafana
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with serving(FakeGrafana()) as fake:
        yield fake


@pytest.fixture
def grafana_settings(grafana, tmp_path):
    """Settings of everything, with their secrets in files."""
    secrets = {"token": TOKEN, "password": "of the login", "webhook": "https://hooks.example/secret"}
    for name, text in secrets.items():
        file = tmp_path / name
        file.write_text(f"{text}\n")
        file.chmod(0o600)
    return GrafanaSettings(
        url=grafana.url,
        token_file=tmp_path / "token",
        timeout_s=20,
        database_host="database:5432",
        database_password_file=tmp_path / "password",
        alert_mail=("desk@example.org", "night@example.org"),
        alert_webhook_file=tmp_path / "webhook",
    )
