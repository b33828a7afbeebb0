"""Everything that a run needs around the proxies: programs, material, the service behind them."""

import pathlib
import shutil
import subprocess
import tempfile

import nginx
from material import Material

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("passthrough", "bench-client", "bench-tokens")


class Lab:
    """Made for one run, and gone after it."""

    root = ROOT

    def __init__(self, sidegate=None, before=None, profile="release"):
        programs = ROOT / "target" / profile
        self.programs = {name.removeprefix("bench-"): programs / name for name in PROGRAMS}
        self.sidegate = sidegate or programs / "sidegate"
        self.before = before
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sidegate-bench-"))
        self.helpers = []
        self._tokens = {}
        self.material = Material(self.folder / "material", self.programs["tokens"])
        self.upstream = nginx.Upstream(self)

    def token(self, algorithm):
        """The one that is sent again and again."""
        if algorithm and algorithm not in self._tokens:
            (self._tokens[algorithm],) = self.material.tokens(algorithm)
        return self._tokens.get(algorithm)

    def folder_for(self, name):
        """A new folder."""
        folder = self.folder / name.replace(" ", "-").replace(",", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def close(self):
        self.upstream.process.stop()
        for helper in self.helpers:
            helper.wait(5)
        shutil.rmtree(self.folder, ignore_errors=True)


def build():
    """Makes the programs of this folder, optimised as Sidegate is."""
    names = [part for name in PROGRAMS for part in ("--bin", name)]
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "sidegate-bench", *names]
    subprocess.run(command, cwd=ROOT, check=True)
