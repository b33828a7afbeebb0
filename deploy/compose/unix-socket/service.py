"""A service on a unix socket, in place of yours: it sends back the headers that it receives."""

import os
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = bytes(self.headers)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "sidegate"  # a peer on a unix socket has no address


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


path = sys.argv[1]
# The file of a server that was killed remains, and no other can bind to it.
if os.path.exists(path):
    os.unlink(path)
os.umask(0o117)  # the socket gets the mode 0660: for this user and its group
Server(path, Orders).serve_forever()
