"""The proxies in front of authsvc itself, each run for real with the project's file; only addresses are replaced."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.deploy.gateways import DEPLOY, NGINX, program, replaced
from tests.flows.conftest import Server, eventually, free_port

NAME = "auth.example.com"
CHAIN, KEY = "/etc/ssl/authsvc/fullchain.pem", "/etc/ssl/authsvc/privkey.pem"


class Site(NamedTuple):
    """Where a proxy listens, what for, and its certificate."""

    folder: Path
    http: int
    https: int
    authsvc: int

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        return {CHAIN: (str(self.folder / "cert.pem"), 1), KEY: (str(self.folder / "key.pem"), 1)}


def nginx(site: Site) -> list[str]:
    changes = {
        "listen 80;": (f"listen 127.0.0.1:{site.http};", 1),
        "listen 443 ssl http2;": (f"listen 127.0.0.1:{site.https} ssl http2;", 1),
        "server 127.0.0.1:8000;": (f"server 127.0.0.1:{site.authsvc};", 1),
        f"server_name {NAME};": ("server_name localhost;", 2),
        "https://$host$request_uri": (f"https://$host:{site.https}$request_uri", 1),
    }
    replaced(DEPLOY / "nginx" / "front.conf", site.folder, changes | site.files).rename(site.folder / "authsvc.conf")
    (site.folder / "nginx.conf").write_text(NGINX.format(folder=site.folder))
    return ["-e", "stderr", "-p", str(site.folder), "-c", str(site.folder / "nginx.conf")]


def caddy(site: Site) -> list[str]:
    certificate = f"\ttls {site.folder}/cert.pem {site.folder}/key.pem\n\tbind 127.0.0.1\n"
    changes = {
        f"\n{NAME} {{\n": (f"\nlocalhost:{site.https} {{\n{certificate}", 1),
        "reverse_proxy 127.0.0.1:8000": (f"reverse_proxy 127.0.0.1:{site.authsvc}", 1),
        # The admin endpoint has one port on a machine, and tests run beside each other.
        "\tservers {\n": (f"\tadmin off\n\thttp_port {site.http}\n\tservers {{\n", 1),
    }
    copy = replaced(DEPLOY / "caddy" / "front.Caddyfile", site.folder, changes)
    return ["run", "--adapter", "caddyfile", "--config", str(copy)]


def traefik(site: Site) -> list[str]:
    changes = {
        f"Host(`{NAME}`)": ("Host(`localhost`)", 1),
        "http://127.0.0.1:8000": (f"http://127.0.0.1:{site.authsvc}", 1),
    }
    dynamic = replaced(DEPLOY / "traefik" / "front-dynamic.yml", site.folder, changes | site.files)
    addresses = {
        'address: ":80"': (f'address: "127.0.0.1:{site.http}"', 1),
        'address: ":443"': (f'address: "127.0.0.1:{site.https}"', 1),
        "filename: front-dynamic.yml": (f"filename: {dynamic}", 1),
    }
    return [f"--configFile={replaced(DEPLOY / 'traefik' / 'front.yml', site.folder, addresses)}"]


def envoy(site: Site) -> list[str]:
    changes = {
        "address: 0.0.0.0, port_value: 80 ": (f"address: 127.0.0.1, port_value: {site.http} ", 1),
        "address: 0.0.0.0, port_value: 443 ": (f"address: 127.0.0.1, port_value: {site.https} ", 1),
        "port_value: 8000 ": (f"port_value: {site.authsvc} ", 1),
        f'["{NAME}", "{NAME}:*"]': ('["localhost", "localhost:*"]', 1),
    }
    copy = replaced(DEPLOY / "envoy" / "front.yaml", site.folder, changes | site.files)
    return ["-c", str(copy), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]


FRONTS: dict[str, Callable[[Site], list[str]]] = {"nginx": nginx, "caddy": caddy, "traefik": traefik, "envoy": envoy}


class Front:
    """A running proxy before an authsvc of its own; ``client()`` speaks TLS to it."""

    def __init__(self, kind: str, folder: Path, database_url: str) -> None:
        self.kind, self.folder, self.log = kind, folder, folder / "proxy.log"
        self.http_port, self.port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        make_certificate(folder)
        self.authsvc = Server(
            folder,
            database_url,
            PUBLIC_URL=self.url,
            ALLOWED_HOSTS="localhost",
            HTTPS="true",
            TRUSTED_PROXIES="1",
        )
        site = Site(folder, self.http_port, self.port, self.authsvc.port)
        self.command = [str(program(kind)), *FRONTS[kind](site)]

    def start(self) -> None:
        """Serve, and wait until a client gets through."""
        self.authsvc.start()
        homes = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **homes}, stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self.is_ready)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError), self.client() as client:
            return client.get("/readyz").status_code == 200
        return False

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        return httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=30)

    def stop(self) -> None:
        """End both; the service may have been ended by a test."""
        self.process.terminate()
        self.process.wait(30)
        self.authsvc.stop()


def make_certificate(folder: Path) -> None:
    """Write a certificate for localhost that nobody but a test trusts."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
