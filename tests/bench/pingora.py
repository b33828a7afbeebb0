"""The bare pass-through in `passthrough.rs`."""

import tomllib

from processes import Process


def start(lab, case, folder, port):
    upstream = lab.upstream.address_for(case)
    command = [lab.programs["passthrough"], f"127.0.0.1:{port}", upstream, case.threads]
    if case.transport in ("h2c", "grpc"):
        command.append(case.transport)
    if case.transport in ("h2", "mtls"):
        keys = lab.material.folder
        command += ["tls", keys / "server.crt", keys / "server.key"]
    if case.transport == "mtls":
        command.append(lab.material.folder / "ca.crt")
    if case.service_tls:
        command.append("https")
    return Process(command, folder, port, {"SSL_CERT_FILE": str(lab.material.folder / "ca.crt")})


def version(lab):
    packages = tomllib.loads((lab.root / "Cargo.lock").read_text())["package"]
    return next(f"pingora {each['version']}" for each in packages if each["name"] == "pingora")
