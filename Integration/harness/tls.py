"""TLS in front of a server of the tests: an authority of its own, its certificates, and a proxy that ends TLS."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path


class Authority:
    """A certificate authority that nobody knows but who is given `ca`."""

    def __init__(self, directory: Path, name="tests"):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ca, self.key = directory / f"{name}-ca.pem", directory / f"{name}-ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name} authority", "-keyout", self.key, "-out", self.ca)

    def issue(self, name, alternative="IP:127.0.0.1", days=2):
        """A certificate and its key; with 0 days it ends when it begins."""
        certificate, key, request = (self.directory / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", certificate)
        return certificate, key


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@dataclass(frozen=True)
class SecureEndpoint:
    """A server as it is reached through the proxy; credentials are those of the server behind."""

    port: int
    access_key: str
    secret_key: str
    region: str
    virtual: bool = False
    # Whom to trust is for each test to say.
    ca_file: str | None = None

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"


@contextlib.contextmanager
def ending(endpoint, certificate, key, clients=None):
    """A proxy on a free port that ends TLS before `endpoint`; with `clients` only for those with a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        thread = threading.Thread(target=serve, args=(listener, context, endpoint.port), daemon=True)
        thread.start()
        try:
            port = listener.getsockname()[1]
            yield SecureEndpoint(port, endpoint.access_key, endpoint.secret_key, endpoint.region)
        finally:
            # Closing alone would leave accept() waiting.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(listener, context, port):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=join, args=(client, context, port), daemon=True).start()


def join(client, context, port):
    """Carries bytes both ways until one side ends. One thread for both: two may not use one TLS connection at once."""
    client.settimeout(60)
    with context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as secure, contextlib.suppress(OSError):
        try:
            # Unlike asyncio's, this handshake tells a client why it was refused.
            secure.do_handshake()
        except ssl.SSLError:
            # What a client has sent meanwhile is read: a reset would take the alert away from it.
            socket.socket.shutdown(secure, socket.SHUT_WR)
            while socket.socket.recv(secure, 1 << 16):
                pass
            return
        with socket.create_connection(("127.0.0.1", port)) as server:
            while True:
                ready = [secure] if secure.pending() else select.select([secure, server], [], [], 60)[0]
                for source, target in ((secure, server), (server, secure)):
                    if source in ready:
                        block = source.recv(1 << 16)
                        if not block:
                            return
                        target.sendall(block)
                if not ready:
                    return
