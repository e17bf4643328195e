"""The same streams over TLS, a thread for each connection: a record for each event, as a vendor's edge sends them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from server import HEAD, LAST, LENGTH, scenario


def listen(cert: str) -> int:
    """Makes the certificate; returns the port."""
    Path(cert).write_bytes(certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=serve, args=(sock, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def serve(sock: socket.socket, context: ssl.SSLContext) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError), context.wrap_socket(sock, server_side=True) as connection:
        received = b""
        while data := connection.recv(1 << 18):
            received += data
            head, _, body = received.partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            if length is not None and len(body) >= int(length[1]):
                received = b""
                answer(connection, head.split(b" ", 2)[1].decode())


def answer(connection: ssl.SSLSocket, target: str) -> None:
    asked = scenario(target)
    gap_ns = asked.params["g"] * 1000
    connection.sendall(HEAD)
    due_ns = time.monotonic_ns() + gap_ns
    for frame in asked.frames()[0]:
        while time.monotonic_ns() < due_ns:  # sleeping is not so exact
            pass
        connection.sendall(frame)
        due_ns = max(due_ns + gap_ns, time.monotonic_ns()) if gap_ns else 0
    connection.sendall(LAST)


def certificate() -> bytes:
    """Key and certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem)
