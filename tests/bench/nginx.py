"""nginx, as the service behind all proxies and as a proxy."""

import re
import subprocess

from material import SIZES
from processes import Process, free_port
from sidegate import drain

COMMON = """
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log {log};
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"""

# A body is read to its end before the answer begins, which nginx does when it passes a request on.
SERVICE = """
    upstream itself {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen unix:{socket} backlog=4096;
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {keys}/server.crt;
        ssl_certificate_key {keys}/server.key;
        ssl_protocols TLSv1.3;
        location / {{ return 200 "ok"; }}
        location /grpc {{ default_type application/grpc; return 200 "0000000"; }}
        location /upload {{ {ok} }}
{files}
    }}
    server {{
        listen 127.0.0.1:{grpc} http2;
        http2_max_concurrent_streams 1000;
        add_trailer grpc-status 0;
        location / {{ {message} }}
    }}
"""

ANSWER = """
            client_body_buffer_size 11m;
            proxy_pass http://itself{path};
            proxy_http_version 1.1;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
"""

PROXY = """
    upstream service {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} {listen};
        {tls}
        location / {{
            {forward}
        }}
    }}
"""

HTTP = """proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;"""

HTTPS = """
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;"""


class Upstream:
    """The service: two bytes for most paths, with TLS and without, files, and an answer over HTTP/2 with
    trailers."""

    def __init__(self, lab):
        self.port, self.tls_port, self.grpc_port = free_port(), free_port(), free_port()
        folder = lab.folder_for("upstream")
        self.socket = folder / "service.sock"
        files = "".join(f"        location = /{name} {{ alias {lab.material.folder / name}; }}\n" for name in SIZES)
        answers = {"ok": ANSWER.format(path="/"), "message": ANSWER.format(path="/grpc")}
        ports = {"port": self.port, "tls": self.tls_port, "grpc": self.grpc_port, "socket": self.socket}
        http = SERVICE.format(**ports, keys=lab.material.folder, files=files, **answers)
        self.process = _run(folder, self.port, http)

    def port_for(self, case):
        """Where those that are measured send the request of a case."""
        if case.service_tls:
            return self.tls_port
        return self.grpc_port if case.transport == "grpc" else self.port

    def address_for(self, case, unix="unix:"):
        """The same as text, with what a proxy writes before the path of a unix socket."""
        return f"{unix}{self.socket}" if case.unix else f"127.0.0.1:{self.port_for(case)}"


def start(lab, case, folder, port):
    listen = {"mtls": "ssl", "h2": "ssl http2", "h2c": "http2", "grpc": "http2"}.get(case.transport, "")
    tls = ""
    if "ssl" in listen:
        keys = lab.material.folder
        tls = f"ssl_certificate {keys}/server.crt; ssl_certificate_key {keys}/server.key; ssl_protocols TLSv1.3;"
    if case.transport == "mtls":
        tls += f" ssl_client_certificate {lab.material.folder}/ca.crt; ssl_verify_client on;"
    forward = "grpc_pass grpc://service;" if case.transport == "grpc" else HTTP
    if case.service_tls:
        forward = forward.replace("http://", "https://") + HTTPS.format(ca=lab.material.folder / "ca.crt")
    http = PROXY.format(port=port, upstream=lab.upstream.address_for(case), listen=listen, tls=tls, forward=forward)
    if not case.access_log:
        return _run(folder, port, http, case.threads)
    with drain(lab) as pipe:
        return _run(folder, port, http, case.threads, log="/dev/stdout", output=pipe)


def version(_):
    text = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return re.search(r"nginx/\S+", text)[0].replace("/", " ")


def _run(folder, port, http, workers=1, log="off", output=None):
    # The worker is another user, who has to reach what is here.
    (folder / "nginx.conf").write_text("user root;" + COMMON.format(folder=folder, http=http, workers=workers, log=log))
    command = ["nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    return Process(command, folder, port, output=output)
