"""The bare pass-through in `passthrough.rs`."""

import tomllib

from processes import Process


def start(lab, case, folder, port):
    grpc = case.transport == "grpc"
    upstream = lab.upstream.grpc_port if grpc else lab.upstream.port
    command = [lab.programs["passthrough"], f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]
    if case.transport in ("h2c", "grpc"):
        command.append(case.transport)
    if case.transport in ("h2", "mtls"):
        keys = lab.material.folder
        command += ["tls", keys / "server.crt", keys / "server.key"]
    if case.transport == "mtls":
        command.append(lab.material.folder / "ca.crt")
    return Process(command, folder, port)


def version(lab):
    packages = tomllib.loads((lab.root / "Cargo.lock").read_text())["package"]
    return next(f"pingora {each['version']}" for each in packages if each["name"] == "pingora")
