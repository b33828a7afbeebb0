"""Load on a proxy: as much as it takes, and at a fixed rate."""

import http.client
import json
import re
import ssl
import subprocess
import uuid

from processes import Failed, Starved

# What is large is counted to its end: what was cut off would have cost, and not count.
BULK_EACH_SECOND = 40

# The longest that one measurement may take.
PATIENCE = 180

WRK = """
wrk.method = "{method}"
wrk.path = "{path}"
{headers}
{body}
{each}
function done(summary)
    local e = summary.errors
    io.write(string.format('{{"requests": %d, "seconds": %f, "status": %d, "broken": %d}}\\n',
        summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


# A UUID that no request had before.
NEW_KEY = """
local number = 0
function request()
    number = number + 1
    wrk.headers["idempotency-key"] = string.format("{prefix}%012d", number)
    return wrk.format()
end
"""


def saturate(lab, case, process, seconds):
    """Sends as fast as answers come. Requests that were answered, and the time that it took."""
    token = lab.token(case.algorithm)
    if case.is_bulk:
        count = f"{BULK_EACH_SECOND * seconds}x"
        return _timed(_client(lab, case, process, count, 0, [token]))
    if case.transport == "mtls":
        return _timed(_client(lab, case, process, seconds, 0, [token]))
    if case.is_http2:
        return _h2load(lab, case, process, seconds)
    return _wrk(lab, case, process, seconds)


def once(lab, case, process, tokens):
    """Sends each token once, as fast as answers come."""
    return _timed(_client(lab, case, process, f"{len(tokens)}x", 0, tokens))


def pace(lab, case, process, seconds, rate):
    """Sends at a fixed rate. How long answers took, measured from when they were due."""
    token = lab.token(case.algorithm)
    # Each connection begins with a request of its own.
    count = seconds * rate + 2 * case.connections if case.idempotent else 1
    return _client(lab, case, process, seconds, rate, [token] * count)


def _timed(told):
    return told["requests"], told["seconds"]


def _wrk(lab, case, process, seconds):
    headers = case.headers(lab.token(case.algorithm))
    script = WRK.format(
        method=case.method,
        path=case.path,
        headers="\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
        body=f'wrk.body = string.rep("x", {case.upload})' if case.upload else "",
        each=NEW_KEY.format(prefix=str(uuid.uuid4())[:24]) if case.idempotent else "",
    )
    path = lab.folder / "load.lua"
    path.write_text(script)
    url = f"http://127.0.0.1:{process.port}"
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--timeout", "30s", "-s", path, url]
    told = json.loads(_run(command).splitlines()[-1])
    unexpected = told["status"] if case.status < 400 else told["requests"] - told["status"]
    if unexpected or told["broken"]:
        raise Failed(f"{unexpected} of {told['requests']} answers were unexpected, {told['broken']} broken")
    if not told["requests"]:
        raise Starved("no answers")
    return told["requests"], told["seconds"]


def _h2load(lab, case, process, seconds):
    scheme = "https" if case.transport == "h2" else "http"
    command = ["h2load", "-t1", f"-c{case.connections}", f"-m{case.streams}", "-D", str(seconds)]
    for name, value in case.headers(lab.token(case.algorithm)).items():
        command += ["-H", f"{name}: {value}"]
    if case.upload:
        body = lab.folder / "body"
        body.write_bytes(b"0" * case.upload)
        command += ["-d", body]
    said = _run([*command, f"{scheme}://127.0.0.1:{process.port}{case.path}"])
    answers = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    broken = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    if not answers or not broken or any(map(int, answers.groups()[1:] + broken.groups())):
        raise Failed(f"unexpected answers: {said[-600:]}")
    if not int(answers[1]):
        raise Starved("no answers")
    return int(answers[1]), float(seconds)


def _client(lab, case, process, end, rate, tokens):
    path = lab.folder / "requests.json"
    path.write_text(json.dumps([request(case, token) for token in tokens]))
    command = [lab.programs["client"], f"127.0.0.1:{process.port}", case.connections, end, rate, case.status, path]
    if case.transport == "mtls":
        keys = lab.material.folder
        command += [keys / "ca.crt", keys / "client.crt", keys / "client.key"]
    return json.loads(_run(command))


def request(case, token):
    """A whole request."""
    fields = {"host": "localhost", **case.headers(token)}
    if case.upload or case.method == "POST":
        fields["content-length"] = case.upload
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{case.method} {case.path} HTTP/1.1\r\n{head}\r\n{'x' * case.upload}"


def _run(command):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} does not end") from None
    if done.returncode:
        raise Failed(f"{command[0]}: {(done.stderr or done.stdout)[-600:].strip()}")
    return done.stdout


def ask(lab, case, process, headers):
    """The status of one answer, over HTTP/1.1."""
    if case.transport == "mtls":
        context = ssl.create_default_context(cafile=lab.material.folder / "ca.crt")
        context.load_cert_chain(lab.material.folder / "client.crt", lab.material.folder / "client.key")
        connection = http.client.HTTPSConnection("127.0.0.1", process.port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
    try:
        connection.request(case.method, case.path, body=b"x" * case.upload or None, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"no answer: {error}") from error
    finally:
        connection.close()
    if answer.status == 200 and len(body) != case.download:
        raise Failed(f"an answer of {len(body)} bytes, not {case.download}")
    return answer.status
