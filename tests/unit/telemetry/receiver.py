"""A real OTLP/HTTP receiver on loopback: it parses the protobuf it is sent and keeps what was in it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Received:
    """What came, by kind; `port` is where it listens, `status` what it answers with."""

    port: int = 0
    status: int = 200
    spans: list[Span] = field(default_factory=list[Span])
    services: set[str] = field(default_factory=set[str])
    metrics: set[str] = field(default_factory=set[str])
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tree(self) -> list[str]:
        """Names and the names of their parents, in the order they began."""
        names = {span.span_id: span.name for span in self.spans}
        began = sorted(self.spans, key=lambda span: span.start_time_unix_nano)
        return [f"{names.get(span.parent_span_id, '-')} > {span.name}" for span in began]


@contextmanager
def receiving(*, status: int = 200) -> Generator[Received]:
    """Receive until the block is left."""
    received = Received(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.bodies.append(body)
            answer = _take(received, self.path, body)
            self.send_response(received.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def _take(received: Received, path: str, body: bytes) -> bytes:
    if path == "/v1/traces":
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            received.services |= {a.value.string_value for a in group.resource.attributes if a.key == "service.name"}
            received.spans += [span for scope in group.scope_spans for span in scope.spans]
        return bytes(ExportTraceServiceResponse().SerializeToString())
    if path == "/v1/metrics":
        measured = ExportMetricsServiceRequest.FromString(body)
        for part in measured.resource_metrics:
            received.metrics |= {metric.name for scope in part.scope_metrics for metric in scope.metrics}
        return bytes(ExportMetricsServiceResponse().SerializeToString())
    raise AssertionError(f"nothing is sent to {path}")
