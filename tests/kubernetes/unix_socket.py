"""A pod whose service listens on a unix socket: both containers as the manifest states them, on this machine.
    unshare --mount python unix_socket.py PROGRAM DOCUMENTS FOLDER      as `run` does it
"""

import base64
import hmac
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import yaml

import container
import live
import rules

SECRETS = {"orders-jwt-secret": "0123456789abcdef0123456789abcdef\n"}

# The service; gunicorn runs it with the arguments of the manifest.
ORDERS = """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ.get("HTTP_X_USER_ID", "no user").encode()]
"""

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def is_on_socket(documents):
    return any(rules.socket_of(documents, pod) for pod in rules.pods(documents))


def run(program, documents, folder):
    """Runs this file where it may mount; says so where it may not."""
    apart = ["unshare", "--mount"]
    if subprocess.run([*apart, "true"], stderr=subprocess.DEVNULL).returncode:
        print(f"SKIPPED: {folder.name} was checked and not run, for only root may mount and change users", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "documents.yaml").write_text(yaml.safe_dump_all(documents))
    # Not below the checkout, which other users may not be able to enter.
    place = tempfile.mkdtemp()
    try:
        command = [sys.executable, "-B", __file__, program, folder / "documents.yaml", place]
        subprocess.run([*apart, *command], check=True)
    finally:
        # All that was in it was mounted, and ended with the namespace.
        os.rmdir(place)


class Pod:
    """The containers of the pod, with other ports of the machine."""

    def __init__(self, program, documents, pod, folder):
        self.folder, self.pod, self.socket = folder, pod, rules.socket_of(documents, pod)
        self.ports = {port: live.free_port() for port in (rules.DATA, rules.ADMIN)}
        self.containers = {"orders": pod["spec"]["containers"][0], "sidegate": rules.sidegate(pod)}
        (folder / "volumes").mkdir()
        volumes = {each["name"]: folder / "volumes" / each["name"] for each in pod["spec"]["volumes"]}
        for each in pod["spec"]["volumes"]:
            name = each["name"]
            if "emptyDir" in each:
                container.volume(pod, each, volumes[name])
                continue
            files = rules.config_map(documents, pod, name) if "configMap" in each else SECRETS
            volumes[name].mkdir()
            for file, text in files.items():
                (volumes[name] / file).write_text(self.moved(text))
        (folder / "program").mkdir()
        (folder / "program/orders.py").write_text(ORDERS)
        images = {"orders": {"program": folder / "program"}, "sidegate": {"sidegate": program}}
        self.service, self.sidegate = (
            container.Container(pod, self.containers[name], volumes, image, folder / name)
            for name, image in images.items()
        )

    def moved(self, text):
        for port, other in self.ports.items():
            text = text.replace(f":{port}", f":{other}")
        return text

    def live(self):
        config = self.sidegate.environment["SIDEGATE_CONFIG"]
        status, report = self.sidegate.run("/sidegate", "check", config)
        assert status == 0, report
        log, processes = self.folder / "log", []
        try:
            processes.append(self.sidegate.start(log))
            self.waits_for_the_service(processes[0])
            processes.append(self.service.start(log))
            self.serves(processes[0])
            self.keeps_others_out()
            before = self.inode()
            container.end(processes.pop())
            # The file of the socket stays, and no process listens on it.
            assert self.inode() == before
            assert self.probes("orders") == {503} and self.get(rules.DATA, "/orders/v1/health")[0] == 502
            processes.append(self.service.start(log))
            self.serves(processes[0])
            assert self.inode() != before, "the service listens on the socket of its predecessor"
            container.end(processes.pop(), signal.SIGTERM)
            assert container.end(processes.pop(), signal.SIGTERM) == 0
        except BaseException:
            print(log.read_text())
            raise
        finally:
            for process in processes:
                container.end(process)

    def waits_for_the_service(self, sidegate):
        """Sidegate is ready without the service, so that the service may start. Requests fail until it listens."""
        live.eventually("Sidegate is ready", lambda: self.probes("sidegate") == {200}, sidegate)
        assert self.probes("orders") == {503}
        assert self.get(rules.DATA, "/orders/v1/health")[0] == 502
        assert self.get(rules.DATA, "/orders/v1/orders/7")[0] == 401, "decided without the service"

    def serves(self, sidegate):
        live.eventually("the service is ready", lambda: self.probes("orders") == {200}, sidegate)
        assert self.get(rules.DATA, "/orders/v1/health") == (200, "no user")
        assert self.get(rules.DATA, "/orders/v1/orders/7")[0] == 401
        assert self.get(rules.DATA, "/orders/v1/orders/7", token()) == (200, "clerk-1")

    def keeps_others_out(self):
        found = os.stat(self.service.root / self.socket.lstrip("/"))
        context = self.containers["orders"]["securityContext"]
        owner, group = context["runAsUser"], self.pod["spec"]["securityContext"]["fsGroup"]
        assert (found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)) == (owner, group, "0o660"), found
        python = [sys.executable, "-c", CONNECT, self.socket]
        status, error = self.service.run(*python)
        assert status == 0, error
        # Another user, even with the volume.
        status, error = self.service.run(*python, user=owner + 1)
        assert status and "PermissionError: [Errno 13]" in error, error
        # Sidegate may connect, and not put a socket of its own in that place.
        status, error = self.sidegate.run("touch", f"{self.socket}.new")
        assert status and "Read-only file system" in error, error
        status, report = self.sidegate.run("/sidegate", "doctor", "--offline")
        assert "upstream_socket_private" in report, report

    def inode(self):
        return os.stat(self.service.root / self.socket.lstrip("/")).st_ino

    def probes(self, name):
        asked = [self.containers[name][probe]["httpGet"] for probe in rules.PROBES]
        return {self.get(each["port"], each["path"])[0] for each in asked}

    def get(self, port, path, token=None):
        """The status and the body of a response; no status if no process listens."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[port]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=live.PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError as error:
            return None, str(error)


def token():
    """A token of the issuer in the policy (RFC 7519), with HS256."""

    def encoded(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"iss": "https://login.example.com", "aud": "orders", "sub": "clerk-1", "exp": int(time.time()) + 600}
    signed = b".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    secret = SECRETS["orders-jwt-secret"].strip().encode()
    return (signed + b"." + encoded(hmac.digest(secret, signed, "sha256"))).decode()


def main(program, documents, folder):
    documents = list(yaml.safe_load_all(documents.read_text()))
    container.mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    (pod,) = rules.pods(documents)
    Pod(program, documents, pod, folder).live()


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
