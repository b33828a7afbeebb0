"""Sidegate as it is configured for a case."""

import json
import os
import subprocess

from material import AUDIENCE, INTERNAL_KEY, ISSUER
from processes import Process, free_port

# A policy has at most so many.
ROUTES_OF_A_POLICY = 5000

# Room for the responses of all rounds. The store never drops one that has not expired: it rejects.
STORE = "8GiB"


def start(lab, case, folder, port, under=(), env=(), program=None):
    """Starts it, under a program that watches it where there is one."""
    admin = free_port()
    (folder / "sidegate.yaml").write_text(json.dumps(_config(lab, case, port, admin)))
    (folder / "policies").mkdir(exist_ok=True)
    for number in range(case.policies):
        policy = _policy(lab, case, number)
        # JSON is YAML.
        (folder / "policies" / f"{number}.yaml").write_text(json.dumps(policy))
    env = {**dict(env), "BENCH_SECRET": lab.material.secret, "BENCH_KEY": INTERNAL_KEY}
    command = [*under, program or lab.sidegate, "run", "--config", folder / "sidegate.yaml"]
    if not case.access_log:
        return Process(command, folder, port, env)
    with drain(lab) as pipe:
        return Process(command, folder, port, env, output=pipe)


def drain(lab):
    """A pipe that somebody else reads."""
    reader, writer = os.pipe()
    lab.helpers.append(subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL))
    os.close(reader)
    return os.fdopen(writer, "wb")


def version(lab, program=None):
    command = [program or lab.sidegate, "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _config(lab, case, port, admin):
    listener = {"address": f"127.0.0.1:{port}"}
    if case.transport in ("mtls", "h2"):
        listener["tls"] = {
            "certificate": str(lab.material.folder / "server.crt"),
            "key": str(lab.material.folder / "server.key"),
        }
    if case.transport == "mtls":
        listener["tls"]["client_ca"] = str(lab.material.folder / "ca.crt")
    return {
        "version": 1,
        "threads": case.threads,
        "listeners": [listener],
        "admin": {"address": f"127.0.0.1:{admin}"},
        "control": "off",
        "policies": "policies",
        "store": {"memory": {"size": STORE}},
        "limits": {"body_bytes": "16MiB"},
        "log": {"access": case.access_log, "level": "info" if case.access_log else "warn"},
    }


def _policy(lab, case, number):
    policy = {
        "version": 1,
        "service": f"orders-{number}",
        "upstream": _upstream(lab, case),
        "routes": _routes(case, number),
    }
    if number:
        policy["prefix"] = f"/service-{number}"
    if case.auth == "jwt":
        policy["jwt"] = {"issuers": [_issuer(lab, case.algorithm)]}
        policy["tenant"] = {"header": "x-tenant-id", "claims": ["tenant"]}
    if case.idempotent:
        policy["idempotency"] = {}
    if case.auth == "internal_key":
        policy["internal_key"] = {"keys": [{"name": "jobs", "secret": {"env": "BENCH_KEY"}}]}
    if case.auth == "mtls":
        policy["mtls"] = {"allow": [{"uri": "spiffe://bench/*"}]}
    return policy


def _upstream(lab, case):
    if case.service_tls:
        ca = str(lab.material.folder / "ca.crt")
        return {"url": f"https://localhost:{lab.upstream.tls_port}", "ca_file": ca}
    if case.transport == "grpc":
        return {"url": f"h2c://127.0.0.1:{lab.upstream.grpc_port}"}
    address = lab.upstream.address_for(case)
    return {"url": address if case.unix else f"http://{address}"}


def _issuer(lab, algorithm):
    public = {"pem": {"file": str(lab.material.folder / f"{algorithm}.pub")}}
    keys = {"secret": {"env": "BENCH_SECRET"}} if algorithm == "HS256" else public
    return {"issuer": ISSUER, "audience": [AUDIENCE], "algorithms": [algorithm], "keys": keys}


def _routes(case, number):
    if case.routes == 1 or case.policies > 2:
        return [{"path": "/*", "auth": case.auth}]
    each = case.routes // case.policies
    assert each <= ROUTES_OF_A_POLICY
    # The one that is asked for is somewhere among them.
    wanted = [{"path": "/v1/orders/{id}", "auth": case.auth}] if number == 0 else []
    resources = (f"/v1/resource-{at}/{{id}}/part" for at in range(each - len(wanted)))
    routes = [{"path": path, "auth": case.auth} for path in resources]
    return routes[: each // 2] + wanted + routes[each // 2 :]
