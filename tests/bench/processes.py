"""Processes that are measured: started, looked at through /proc, ended by their id."""

import collections
import os
import signal
import socket
import subprocess
import threading
import time

FIRST_PORT = 21000
PATIENCE = 20

Cpu = collections.namedtuple("Cpu", "total user system")

_next_port = FIRST_PORT
_lock = threading.Lock()


class Failed(Exception):
    """Why something cannot be measured."""


class Starved(Failed):
    """Not one answer came in time, and none was wrong: the machine may have been busy with something else."""


def free_port():
    """A port below those that connections take, so that nobody has it a moment later."""
    global _next_port
    while True:
        with _lock:
            port, _next_port = _next_port, _next_port + 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Process:
    """A command that listens on a port, with its children."""

    def __init__(self, command, folder, port, env=None, output=None):
        self.port = port
        self.log = folder / "log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
            )
        self._wait_for_port()

    def _wait_for_port(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.001)
        self.stop()
        raise Failed(f"does not start: {self.log.read_text(errors='replace')[-800:].strip()}")

    def pids(self):
        """The process and its children."""
        found, at = [self.popen.pid], 0
        while at < len(found):
            pid, at = found[at], at + 1
            for task in _tasks(pid):
                found += [int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split()]
        return found

    def cpu(self):
        """Seconds on a processor so far. The kernel counts the sum in nanoseconds, but the split
        in user and system in ticks, so that is taken as a proportion."""
        total = user = system = 0
        for pid in self.pids():
            fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
            total += sum(_nanoseconds(pid, task) for task in _tasks(pid))
        return Cpu(total / 1e9, user, system)

    def switches(self):
        """How often a thread has given its processor away so far, because it waited or had to."""
        lines = [line for pid in self.pids() for task in _tasks(pid) for line in _status(pid, task)]
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    def resident(self):
        """Bytes of memory, those that its processes share counted for each."""
        lines = [line for pid in self.pids() for line in _read(f"/proc/{pid}/status").splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def is_running(self):
        return self.popen.poll() is None

    def stop(self):
        if self.is_running():
            # Of those measured here, all end at once on SIGINT, and take their children along.
            self.popen.send_signal(signal.SIGINT)
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def cpu_between(before, after):
    """What was spent in between."""
    total = after.total - before.total
    user, system = after.user - before.user, after.system - before.system
    share = user / (user + system) if user + system else 0
    return Cpu(total, total * share, total * (1 - share))


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _nanoseconds(pid, task):
    try:
        return int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    except OSError:
        # The thread has ended in between.
        return 0


def _status(pid, task):
    try:
        return _read(f"/proc/{pid}/task/{task}/status").splitlines()
    except OSError:
        return []


def _read(path):
    with open(path) as file:
        return file.read()
