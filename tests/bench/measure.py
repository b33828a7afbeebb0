"""One case: its proxies side by side, round after round."""

import dataclasses
import time

import before
import envoy
import haproxy
import load
import nginx
import pingora
import sidegate
from cases import DISTINCT
from material import TENANT
from processes import Failed, cpu_between, free_port

PROXIES = {
    "sidegate": sidegate,
    "before": before,
    "pingora": pingora,
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
}

# What the code of a proxy has to be warm for.
WARM_UP = 1


class Subject:
    """A proxy in a case, and what was measured of it."""

    def __init__(self, lab, case, name):
        self.lab, self.case, self.name = lab, case, name
        self.kind, _, self.verifies = name.partition(" ")
        self.rounds, self.failure, self.memory_idle, self.memory_after = [], None, None, None
        self.process = None

    @property
    def decides(self):
        """Whether it checks credentials, rather than passing them on."""
        return self.kind in ("sidegate", "before") or bool(self.verifies)

    def start(self):
        folder = self.lab.folder_for(f"{self.case.name}-{self.name}")
        arguments = (self.lab, self.case, folder, free_port())
        start = PROXIES[self.kind].start
        self.process = start(*arguments, self.verifies) if self.kind in ("haproxy", "envoy") else start(*arguments)

    def stop(self):
        if self.process:
            self.process.stop()

    def attempt(self, step, *arguments):
        """Does something unless it has failed before."""
        if self.failure is None:
            try:
                return step(*arguments)
            except (Failed, OSError) as failure:
                self.failure = str(failure)
                print(f"    {self.name}: {failure}", flush=True)
                self.stop()
        return None

    def check(self):
        """Asks once as the case does, and in ways that have to be refused."""
        # By now it has started for certain, workers and all.
        self.memory_idle = self.process.resident()
        if self.case.is_http2:
            return
        token = self.lab.token(self.case.algorithm)
        expected = self.case.status if self.decides else 200
        self._expect(self.case.headers(token), (expected,))
        if self.decides and self.case.auth in ("jwt", "internal_key"):
            for name, headers in _refused(self.lab, self.case, self.kind):
                self._expect(headers, (401, 403), name)

    def _expect(self, headers, statuses, name="the request"):
        status = load.ask(self.lab, self.case, self.process, headers)
        if status not in statuses:
            raise Failed(f"{name} is answered with {status}")

    def measure(self, options, tokens):
        """One round."""
        if self.case.distinct:
            # None of its tokens may have been seen.
            self.stop()
            self.start()
        # Who verifies nothing passes on what others refuse.
        case = self.case if self.decides else dataclasses.replace(self.case, status=200)
        if self.case.distinct or not self.rounds:
            load.saturate(self.lab, case, self.process, WARM_UP)
        spent, switched = self.process.cpu(), self.process.switches()
        if tokens:
            requests, took = load.once(self.lab, case, self.process, tokens)
        else:
            requests, took = load.saturate(self.lab, case, self.process, options.seconds)
        cpu, switches = cpu_between(spent, self.process.cpu()), self.process.switches() - switched
        measured = {
            "requests": requests,
            "seconds": took,
            "cpu_us": [each / requests * 1e6 for each in cpu],
            "switches": switches / requests,
        }
        if case.paced and not case.distinct:
            measured["latency"] = load.pace(self.lab, case, self.process, options.seconds, options.rate)
        self.rounds.append(measured)
        self.memory_after = self.process.resident()

    def result(self):
        return {
            "failure": self.failure,
            "memory_idle": self.memory_idle,
            "memory_after": self.memory_after,
            "rounds": self.rounds,
        }


def run(lab, case, options):
    """Measures a case. What was measured, by proxy."""
    names = [name for name in case.subjects if name not in options.without]
    subjects = [Subject(lab, case, name) for name in names]
    tokens = lab.material.tokens(case.algorithm, DISTINCT) if case.distinct else None
    try:
        for subject in subjects:
            subject.attempt(subject.start)
        for subject in subjects:
            subject.attempt(subject.check)
        for number in range(options.rounds):
            # Another one begins each time, so that none always follows the same.
            for subject in subjects[number % len(subjects) :] + subjects[: number % len(subjects)]:
                subject.attempt(subject.measure, options, tokens)
    finally:
        for subject in subjects:
            subject.stop()
    return {subject.name: subject.result() for subject in subjects}


def _refused(lab, case, kind):
    """Requests that must not pass, by what is wrong with them."""
    if case.auth == "internal_key":
        yield "no key", {}
        yield "a wrong key", {"x-internal-api-key": "0" * 48}
        return
    material, tenant = lab.material, {"x-tenant-id": TENANT}
    header, claims, signature = lab.token(case.algorithm).split(".")
    forged = f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    (expired,) = material.tokens(case.algorithm, exp=int(time.time()) - 3600)
    (elsewhere,) = material.tokens(case.algorithm, iss="https://login.example.org")
    (not_for_us,) = material.tokens(case.algorithm, aud="others")
    yield "no token", tenant
    for name, token in (
        ("a forged token", forged),
        ("an expired token", expired),
        ("a token of another issuer", elsewhere),
        ("a token for others", not_for_us),
    ):
        yield name, {**tenant, "authorization": f"Bearer {token}"}
    if kind != "envoy":
        # Envoy's filter has no way to compare a claim with a header.
        wrong = {"x-tenant-id": TENANT.replace("7", "8"), "authorization": f"Bearer {lab.token(case.algorithm)}"}
        yield "another tenant", wrong
