#!/usr/bin/env python3
"""Ordinary requests beside an attack, half of them over a connection of their own: how many fail,
how long they take, and the memory of the process meanwhile. Prints one line of a table.

    ordinary.py NAME PORT PID SECONDS
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import statistics
import sys
import time

EVERY = 0.02


def token():
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"iss": "attack", "aud": "attack", "sub": "ordinary", "exp": int(time.time()) + 3600}
    signed = part(b'{"alg":"HS256"}') + b"." + part(json.dumps(claims).encode())
    mac = hmac.new(os.environ["ATTACK_SECRET"].encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(mac)).decode()


def memory(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def ask(connection, headers):
    connection.request("GET", "/ordinary/x", headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def main():
    name, port, pid, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    headers = {"authorization": f"Bearer {token()}"}
    kept, took, failed, resident, most = connect(port), [], [], [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fresh = len(took) % 2
        connection = connect(port) if fresh else kept
        began = time.monotonic()
        try:
            status = ask(connection, headers)
            if status != 200:
                failed.append(str(status))
        except (OSError, http.client.HTTPException) as error:
            failed.append(type(error).__name__)
            kept.close()
        took.append(time.monotonic() - began)
        if fresh:
            connection.close()
        resident.append(memory(pid, "VmRSS"))
        time.sleep(max(0, EVERY - took[-1]))
    cuts = statistics.quantiles(took, n=100)
    most = max(resident)
    print(
        f"| {name:<28} | {len(took):>8} | {len(failed):>6} | {cuts[49] * 1e3:>6.1f} | {cuts[98] * 1e3:>6.1f} "
        f"| {most:>10.0f} | {resident[-1]:>9.0f} |",
        flush=True,
    )
    if failed:
        print(f"failed: {', '.join(sorted(set(failed)))}", file=sys.stderr)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
