"""The program in the place that a manifest gives it: its arguments, variables, files and probes."""

import base64
import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import rules

# What publishes the keys of an issuer, as in the policies.
KEY_SERVER = "https://auth.example.com"

# How long anything may take that has to happen, in seconds.
PATIENCE = 30

# The files of the Secret.
SECRETS = {
    "wallet-jwt-secret": "0123456789abcdef0123456789abcdef\n",
    "wallet-jobs-key": "0123456789abcdef\n",
    "redis-password": "fedcba9876543210\n",
}


def run(program, documents, folder):
    for pod in rules.pods(documents):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with redis(folder) as url:
            Place(program, documents, pod, folder.resolve(), url).live()


class Place:
    """A pod's Sidegate on this machine, with other ports and its root in a folder."""

    def __init__(self, program, documents, pod, root, redis_url):
        self.root, self.pod, self.container = root, pod, rules.sidegate(pod)
        config = rules.configuration(documents, pod)
        self.probe = config["admin"]["probe"]
        service = int(self.probe["upstream"].rpartition(":")[2])
        self.ports = {port: free_port() for port in (rules.DATA, rules.ADMIN, service)}
        self.service = self.ports[service]
        self.has_tls = "tls" in config["listeners"][0]
        self.delay = int(config["shutdown"].get("delay", "0s").rstrip("s"))
        self.elsewhere = {
            "rediss://redis.example.com:6379": redis_url,
            KEY_SERVER: f"http://127.0.0.1:{(key_port := free_port())}",
        }
        self.key_port = key_port
        policies = rules.config_map(documents, pod, "sidegate-policies").values()
        self.has_key_server = any(KEY_SERVER in policy for policy in policies)
        for mount in self.container["volumeMounts"]:
            self.mount(documents, mount)
        self.environment = {each["name"]: self.moved(each["value"]) for each in self.container["env"]}
        self.command = [program, *map(self.moved, self.container["args"])]

    def moved(self, text):
        """A path of the container on this machine, ports that nobody has, and servers that are here."""
        for there, here in self.elsewhere.items():
            text = text.replace(there, here)
        for port, other in self.ports.items():
            text = text.replace(f":{port}", f":{other}")
        return text.replace("/etc/sidegate", f"{self.root}/etc/sidegate")

    def mount(self, documents, mount):
        volume = next(each for each in self.pod["spec"]["volumes"] if each["name"] == mount["name"])
        folder = self.root / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True)
        if "configMap" in volume:
            for name, text in rules.config_map(documents, self.pod, mount["name"]).items():
                (folder / name).write_text(self.moved(text))
        elif mount["name"] == "sidegate-secrets":
            for name, text in SECRETS.items():
                (folder / name).write_text(text)
        elif mount["name"] == "sidegate-tls":
            # With SPIRE there is no name in it, but a URI.
            name = "URI:spiffe://eventzr/ns/a/sa/b" if "emptyDir" in volume else "DNS:localhost"
            make_certificate(folder, name)

    def live(self):
        config = self.environment["SIDEGATE_CONFIG"]
        subprocess.run([self.command[0], "check", config], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        with open(self.root / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(self.command, env=self.environment, cwd="/", stdout=log, stderr=log)
        try:
            self.serve(process)
        except BaseException:
            print((self.root / "log").read_text())
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def serve(self, process):
        with self.keys(process):
            eventually("it is ready", lambda: self.ask_all(self.container) == {200}, process)
        ready = subprocess.run([self.command[0], "healthcheck"], env=self.environment, stdout=subprocess.DEVNULL)
        assert ready.returncode == 0, "what Docker would ask says no"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[rules.ADMIN]}/readyz", timeout=PATIENCE) as page:
            assert b"store: ok" in page.read(), "Redis is not reached"
        service = self.pod["spec"]["containers"][0]
        assert self.ask_all(service) == {503}, "the service is probed, and is not there"
        with upstream(self.service) as asked:
            assert self.ask_all(service) == {200}
            assert set(asked) == {self.probe["path"]}, asked
            prefix = self.probe["path"].rpartition("/_internal")[0] or self.probe["path"].rpartition("/")[0]
            assert self.get(rules.DATA, self.probe["path"]) == 200
            assert self.get(rules.DATA, f"{prefix}/anything-else") == 401
            assert self.get(rules.ADMIN, "/metrics") == 200
            if "wallet" in prefix:
                key = {"x-internal-api-key": SECRETS["wallet-jobs-key"].strip()}
                assert self.get(rules.DATA, f"{prefix}/jobs/scheduled/x", key) == 200
            process.send_signal(signal.SIGTERM)
            if self.delay:
                eventually("it says so", lambda: self.ask(self.container["readinessProbe"]) == 503, process)
                assert self.get(rules.DATA, self.probe["path"]) == 200, "there are still those who come"
            assert process.wait(self.pod["spec"]["terminationGracePeriodSeconds"]) == 0

    @contextlib.contextmanager
    def keys(self, process):
        """Publishes keys, once it is seen that the pod would wait for them."""
        if not self.has_key_server:
            yield
            return
        started = [self.container[probe] for probe in ("startupProbe", "livenessProbe")]
        eventually("it starts", lambda: {self.ask(probe) for probe in started} == {200}, process)
        assert self.ask(self.container["readinessProbe"]) == 503, "it is ready without keys"
        with upstream(self.key_port, key_set()):
            yield

    def ask_all(self, container):
        return {self.ask(container[probe]) for probe in rules.PROBES}

    def ask(self, probe):
        return self.get(probe["httpGet"]["port"], probe["httpGet"]["path"])

    def get(self, port, path, headers=None):
        """The status of an answer, as a kubelet or a client in the cluster gets it."""
        context = None
        scheme = "https" if self.has_tls and port == rules.DATA else "http"
        if scheme == "https":
            context = ssl.create_default_context(cafile=self.root / "etc/sidegate/tls/ca.crt")
            context.check_hostname = False
        url = f"{scheme}://127.0.0.1:{self.ports[port]}{path}"
        request = urllib.request.Request(url, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError as error:
            return str(error)


def eventually(what, condition, process):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"it ended instead: {what}"
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextlib.contextmanager
def upstream(port, body=b""):
    """A service on loopback; the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def redis(folder):
    """The URL of a Redis of its own, on a socket. The path of a socket has about 100 bytes."""
    path = os.path.relpath(folder / "redis.sock")
    password = SECRETS["redis-password"].strip()
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--requirepass", password]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        eventually("Redis starts", (folder / "redis.sock").exists, process)
        yield f"unix:{(folder / 'redis.sock').resolve()}"
    finally:
        process.terminate()
        process.wait()


def make_certificate(folder, name):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    options = ["-x509", *key, "-days", "2", "-subj", "/CN=test"]
    files = ["-keyout", folder / "tls.key", "-out", folder / "tls.crt", "-addext", f"subjectAltName={name}"]
    subprocess.run(["openssl", "req", *options, *files], check=True, stderr=subprocess.DEVNULL)
    shutil.copy(folder / "tls.crt", folder / "ca.crt")


def key_set():
    """A key set (RFC 7517) with one new RSA key."""
    key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
    command = ["openssl", "rsa", "-noout", "-modulus"]
    modulus = subprocess.run(command, input=key, check=True, capture_output=True).stdout.decode()
    number = bytes.fromhex(modulus.strip().removeprefix("Modulus="))
    n = base64.urlsafe_b64encode(number).decode().rstrip("=")
    return json.dumps({"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": n, "e": "AQAB"}]}).encode()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
