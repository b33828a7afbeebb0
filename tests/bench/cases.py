"""What is measured: cases, each a request that several proxies are sent."""

import dataclasses
import uuid

from material import INTERNAL_KEY, SIZES, TENANT

PASS = ("sidegate", "before", "pingora", "nginx", "haproxy", "envoy")
BASE = ("sidegate", "before", "pingora", "nginx")
TOKENS = (*BASE, "haproxy jwt", "envoy jwt")
CACHED = (*TOKENS, "envoy jwt, cached")

# So many tokens are sent once each, to a process that was just started.
DISTINCT = 30_000


@dataclasses.dataclass(frozen=True)
class Case:
    """One request, and who gets it. Those that verify nothing pass the same one on."""

    name: str
    what: str
    subjects: tuple = PASS
    auth: str = "public"
    algorithm: str = ""
    transport: str = "http"
    method: str = "GET"
    path: str = "/v1/orders/17"
    upload: int = 0
    download: int = 2
    status: int = 200
    anonymous: bool = False
    routes: int = 1
    policies: int = 1
    distinct: bool = False
    access_log: bool = False
    paced: bool = True
    service_tls: bool = False
    idempotent: bool = False
    # The service listens on a unix socket.
    unix: bool = False
    threads: int = 1
    connections: int = 32
    streams: int = 8

    @property
    def is_http2(self):
        return self.transport in ("h2", "h2c", "grpc")

    @property
    def is_bulk(self):
        return max(self.upload, self.download) > 2**20

    def headers(self, token):
        """Those that the client sends besides `Host`."""
        headers = {}
        if self.algorithm and not self.anonymous:
            headers |= {"authorization": f"Bearer {token}", "x-tenant-id": TENANT}
        if self.auth == "internal_key":
            headers["x-internal-api-key"] = INTERNAL_KEY
        if self.transport == "grpc":
            headers |= {"content-type": "application/grpc", "te": "trailers"}
        if self.upload:
            headers |= {"content-type": "application/octet-stream"} if self.transport != "grpc" else {}
        if self.idempotent:
            # A new one each time.
            headers["idempotency-key"] = str(uuid.uuid4())
        return headers


def _token(algorithm, subjects, name="", what="", **more):
    what = what or f"one {algorithm} token, `iss` `aud` `exp` checked, tenant = header"
    return Case(name or algorithm.lower(), what, subjects, auth="jwt", algorithm=algorithm, **more)


def _body(size, name, **more):
    label = {"16k": "16 KiB", "10m": "10 MiB"}[size]
    if name == "download":
        return Case(f"download-{size}", f"an answer of {label}", path=f"/{size}", download=SIZES[size], **more)
    return Case(f"upload-{size}", f"a body of {label}", method="POST", path="/upload", upload=SIZES[size], **more)


CASES = [
    Case("public", "1 policy, 1 route, no credential"),
    Case("internal-key", "one internal key", BASE, auth="internal_key"),
    _token("HS256", CACHED),
    _token("RS256", CACHED),
    _token("ES256", TOKENS),
    dataclasses.replace(
        _token("RS256", CACHED),
        name="rs256-distinct",
        what=f"{DISTINCT} RS256 tokens, each sent once",
        distinct=True,
    ),
    Case("mtls", "TLS 1.3 with a client certificate, kept alive", auth="mtls", transport="mtls"),
    Case("rejection", "no token where one is needed: 401", TOKENS, auth="jwt", algorithm="RS256", anonymous=True, status=401),
    Case("routes-10000", "10,000 routes in 2 policies", BASE, routes=10_000, policies=2),
    Case("policies-1000", "1,000 policies of 1 route", BASE, routes=1000, policies=1000),
    Case("access-log", "with an access log to a pipe (not pingora)", BASE, access_log=True),
    _body("16k", "download"),
    _body("10m", "download", connections=8, paced=False),
    _body("16k", "upload"),
    _body("10m", "upload", connections=8, paced=False),
    Case("h2", "HTTP/2 over TLS, 4 connections of 8 streams", transport="h2", connections=4, paced=False),
    Case("h2c", "HTTP/2 in clear text, 4 connections of 8 streams", transport="h2c", connections=4, paced=False),
    Case("grpc", "a gRPC-like POST with trailers, HTTP/2 on both sides",
         transport="grpc", method="POST", upload=7, connections=4, paced=False),
    _token("HS256", BASE, "https", "one HS256 token, upstream with TLS 1.3 on kept connections", service_tls=True),
    _token("HS256", BASE, "idempotency", "one HS256 token, a POST with a new `Idempotency-Key` each, store in memory",
           method="POST", upload=64, idempotent=True),
    Case("public-unix", "no credential, the service on a unix socket", unix=True),
    _token("HS256", BASE, "hs256-unix", "one HS256 token, the service on a unix socket", unix=True),
    Case("public-threads-2", "no credential, 2 threads", threads=2),
    _token("HS256", BASE, "hs256-threads-2", "one HS256 token, 2 threads", threads=2),
]  # fmt: skip
