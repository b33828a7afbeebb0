"""Envoy, which passes on or verifies tokens with `jwt_authn`."""

import json
import pathlib
import re
import subprocess

from material import AUDIENCE, ISSUER
from processes import Process

HTTP = "envoy.extensions.filters.http"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


# Where `.ci/install bench` puts it.
INSTALLED = pathlib.Path(__file__).resolve().parents[2] / "target/envoy/bin/envoy"


def program():
    return str(INSTALLED) if INSTALLED.exists() else "envoy"


def start(lab, case, folder, port, verifies):
    filters = [_typed("envoy.filters.http.router", f"{HTTP}.router.v3.Router")]
    if verifies:
        filters.insert(0, _jwt(lab, case.algorithm, cached="cached" in verifies))
    config = {
        "static_resources": {
            "listeners": [_listener(lab, case, port, filters)],
            "clusters": [_cluster(lab, case)],
        }
    }
    (folder / "envoy.json").write_text(json.dumps(config))
    # One run beside another needs no shared memory of its own.
    options = ["--disable-hot-restart", "-l", "warning"]
    command = [program(), "-c", folder / "envoy.json", "--concurrency", case.threads, *options]
    return Process(command, folder, port)


def version(_):
    text = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return "Envoy " + re.search(r"/(\d+\.\d+\.\d+)/", text)[1]


def _typed(name, type_name, **fields):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{type_name}", **fields}}


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(lab, case, port, filters):
    route = {"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}
    manager = _typed(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        stat_prefix="bench",
        codec_type="HTTP2" if case.is_http2 else "AUTO",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=filters,
    )
    chain = {"filters": [manager]}
    if case.transport in ("h2", "mtls"):
        chain["transport_socket"] = _tls(lab.material.folder, case.transport)
    return {"address": _address(port), "filter_chains": [chain]}


def _tls(keys, transport):
    pair = {"certificate_chain": {"filename": f"{keys}/server.crt"}, "private_key": {"filename": f"{keys}/server.key"}}
    context = {"tls_certificates": [pair], "alpn_protocols": ["h2"] if transport == "h2" else ["http/1.1"]}
    if transport == "mtls":
        context["validation_context"] = {"trusted_ca": {"filename": f"{keys}/ca.crt"}}
        context["tls_params"] = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    return _typed(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=context,
        require_client_certificate=transport == "mtls",
    )


def _cluster(lab, case):
    grpc = case.transport == "grpc"
    service = {"pipe": {"path": str(lab.upstream.socket)}} if case.unix else _address(lab.upstream.port_for(case))
    endpoint = {"endpoint": {"address": service}}
    cluster = {
        "name": "service",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if grpc:
        options = _typed("", OPTIONS, explicit_http_config={"http2_protocol_options": {}})["typed_config"]
        cluster["typed_extension_protocol_options"] = {OPTIONS: options}
    return cluster


def _jwt(lab, algorithm, cached):
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps(lab.material.jwks(algorithm))},
        "forward": True,
        "clock_skew_seconds": 1,
        "claim_to_headers": [
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-user-email", "claim_name": "email"},
        ],
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    return _typed(
        "envoy.filters.http.jwt_authn",
        f"{HTTP}.jwt_authn.v3.JwtAuthentication",
        providers={"bench": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    )
