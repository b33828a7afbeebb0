"""HAProxy, which passes on or verifies tokens with `jwt_verify`."""

import re
import subprocess

from material import AUDIENCE, ISSUER
from processes import Process

CONFIG = """
global
    nbthread {threads}
    maxconn 4096
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend clients
    bind 127.0.0.1:{port} {bind}
{rules}
    default_backend service
backend service
    server service {upstream} {server}
"""

# Each as the documentation of `jwt_verify` shows it, with what Sidegate checks besides.
VERIFY = """
    http-request set-var(txn.token) http_auth_bearer
    http-request deny deny_status 401 unless {{ var(txn.token) -m found }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str {algorithm} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify("{algorithm}","{key}") 1 }}
    http-request set-var(txn.now) date()
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.tenant) var(txn.token),jwt_payload_query('$.tenant')
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {audience} }}
    http-request deny deny_status 403 unless {{ req.hdr(x-tenant-id),strcmp(txn.tenant) eq 0 }}
    http-request set-header x-user-id %[var(txn.token),jwt_payload_query('$.sub')]
"""


def start(lab, case, folder, port, verifies):
    keys = lab.material.folder
    bind = {
        "mtls": f"ssl crt {keys}/server.both ca-file {keys}/ca.crt verify required ssl-min-ver TLSv1.3",
        "h2": f"ssl crt {keys}/server.both alpn h2",
        "h2c": "proto h2",
        "grpc": "proto h2",
    }.get(case.transport, "")
    grpc = case.transport == "grpc"
    config = CONFIG.format(
        threads=case.threads,
        port=port,
        bind=bind,
        rules=_rules(lab, case.algorithm) if verifies else "",
        upstream=lab.upstream.address_for(case, "unix@"),
        server="proto h2" if grpc else "",
    )
    (folder / "haproxy.cfg").write_text(config)
    return Process(["haproxy", "-db", "-f", folder / "haproxy.cfg"], folder, port)


def version(_):
    text = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout
    return "HAProxy " + re.search(r"version (\d[\d.]*)", text)[1]


def _rules(lab, algorithm):
    key = lab.material.secret if algorithm == "HS256" else lab.material.folder / f"{algorithm}.pub"
    return VERIFY.format(algorithm=algorithm, key=key, issuer=ISSUER, audience=AUDIENCE)
