"""Public test vectors as inputs of the fuzz targets: vectors.py VECTORS INPUTS"""

import base64
import json
import pathlib
import sys

vectors, inputs = map(pathlib.Path, sys.argv[1:])


def put(target, name, data):
    folder = inputs / target
    if folder.is_dir():
        (folder / name).write_bytes(data)


def requests(source, member):
    cases = json.loads((vectors / source).read_text())
    cases = cases["cases"] if isinstance(cases, dict) else cases
    return [base64.b64decode(case[member]).replace(b"\0HOST\0", b"h") for case in cases]


# The service answers in its usual manner, and the client pauses halfway.
probes = requests("http11probe/cases.json", "request_b64_with_host_placeholder")
for number, request in enumerate(probes + requests("llhttp/requests.json", "request_b64")):
    put("forwarded", f"request-{number}", b"0\x80" + request)

# The claims of a token.
for file in (vectors / "json-test-suite/test_parsing").glob("*.json"):
    put("token", f"claims-{file.stem}", b"1" + file.read_bytes())
