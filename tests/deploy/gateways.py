"""The gateways, each run for real with the project's own configuration file, its addresses replaced and no more."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.flows.conftest import ROOT, eventually, free_port
from tests.flows.raw import Answer, Connection, request

DEPLOY = ROOT / "deploy"
# Debian keeps nginx where only root looks; some come as wheels for tests, into the environment of the tests.
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/authsvc.conf;
}}
"""


def program(name: str) -> str | None:
    """Return the path of a gateway's program, or None where it is not installed."""
    return shutil.which(name, path=PLACES)


def replaced(path: Path, folder: Path, changes: dict[str, tuple[str, int]]) -> Path:
    """Copy a configuration into a folder with texts replaced, each as often as is said and no less."""
    text = path.read_text(encoding="utf-8")
    for old, (new, times) in changes.items():
        assert text.count(old) == times, f"{path.name}: {old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    copy = folder / path.name
    copy.write_text(text, encoding="utf-8")
    return copy


def nginx(folder: Path, port: int, authsvc: int, application: int) -> list[str]:
    replaced(
        DEPLOY / "nginx" / "authsvc.conf",
        folder,
        {
            "listen 8080;": (f"listen 127.0.0.1:{port};", 1),
            "server 127.0.0.1:8000;": (f"server 127.0.0.1:{authsvc};", 1),
            "server 127.0.0.1:9000;": (f"server 127.0.0.1:{application};", 1),
        },
    )
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return ["-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, authsvc: int, application: int) -> list[str]:
    # The admin endpoint has one port on a machine, and tests run beside each other.
    copy = replaced(
        DEPLOY / "caddy" / "Caddyfile",
        folder,
        {
            "\n:8080 {\n": (f"\nhttp://:{port} {{\n\tbind 127.0.0.1\n", 1),
            "forward_auth 127.0.0.1:8000": (f"forward_auth 127.0.0.1:{authsvc}", 2),
            "reverse_proxy 127.0.0.1:9000": (f"reverse_proxy 127.0.0.1:{application}", 1),
        },
    )
    copy.write_text("{\n\tadmin off\n}\n" + copy.read_text())
    return ["run", "--adapter", "caddyfile", "--config", str(copy)]


def traefik(folder: Path, port: int, authsvc: int, application: int) -> list[str]:
    dynamic = replaced(
        DEPLOY / "traefik" / "dynamic.yml",
        folder,
        {
            "http://127.0.0.1:8000/": (f"http://127.0.0.1:{authsvc}/", 2),
            "http://127.0.0.1:9000": (f"http://127.0.0.1:{application}", 1),
        },
    )
    static = replaced(
        DEPLOY / "traefik" / "traefik.yml",
        folder,
        {'address: ":8080"': (f'address: "127.0.0.1:{port}"', 1), "filename: dynamic.yml": (f"filename: {dynamic}", 1)},
    )
    return [f"--configFile={static}"]


def envoy(folder: Path, port: int, authsvc: int, application: int) -> list[str]:
    copy = replaced(
        DEPLOY / "envoy" / "envoy.yaml",
        folder,
        {
            "address: 0.0.0.0, port_value: 8080": (f"address: 127.0.0.1, port_value: {port}", 1),
            "port_value: 8000": (f"port_value: {authsvc}", 1),
            "port_value: 9000": (f"port_value: {application}", 1),
        },
    )
    return ["-c", str(copy), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]


KINDS: dict[str, Callable[[Path, int, int, int], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "traefik": traefik,
    "envoy": envoy,
}


class Gateway:
    """A running gateway; ``get`` and ``send`` are its client, on a connection of their own."""

    def __init__(self, kind: str, folder: Path, authsvc: int, application: int) -> None:
        self.kind, self.port, self.log = kind, free_port(), folder / "gateway.log"
        command = [str(program(kind)), *KINDS[kind](folder, self.port, authsvc, application)]
        homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **homes}, stdout=log, stderr=subprocess.STDOUT
            )
        with contextlib.ExitStack() as stack:
            stack.callback(self.stop)
            eventually(self.is_ready)
            stack.pop_all()

    def is_ready(self) -> bool:
        """Say whether it answers by now; a process that has ended will not."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            # Traefik listens before it has read its routes; every gateway has one for this.
            return self.get("/public/ready").status == 200
        return False

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str, *headers: str) -> Answer:
        """GET a path."""
        return self.send(request("GET", path, *headers))

    def send(self, data: bytes) -> Answer:
        """Send bytes as they are and return the first answer."""
        with Connection(self.port) as connection:
            connection.send(data)
            return connection.answer()
