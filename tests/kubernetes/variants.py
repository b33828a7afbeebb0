"""The examples as they are, and with the one or two lines changed that a user would change."""

import pathlib
import shutil
import subprocess

import yaml

SOURCE = pathlib.Path("deploy/kubernetes")
OLDEST, NATIVE, NEWEST = "1.25", "1.29", "1.37"

PLAIN = ("../sidecar,", "../sidecar-plain,")
DELAY = ("shutdown: { grace: 5s }", "shutdown: { delay: 10s, grace: 25s }")

# What it is called, the example that it is made from, what is replaced in its files, and the versions of
# Kubernetes that it is for.
VARIANTS = [
    ("wallet", "wallet", [], [NATIVE, NEWEST]),
    ("wallet-plain", "wallet", [PLAIN, DELAY], [OLDEST, NATIVE, NEWEST]),
    ("wallet-token", "wallet", [("[../sidecar,", "[../service-account-token, ../sidecar,")], [NATIVE, NEWEST]),
    ("hub", "integration-hub", [], [NATIVE, NEWEST]),
    ("hub-plain", "integration-hub", [PLAIN, DELAY], [OLDEST, NATIVE, NEWEST]),
    ("hub-csi", "integration-hub", [("../certificate,", "../certificate-csi,")], [NATIVE, NEWEST]),
    ("hub-spire", "integration-hub", [("[../certificate, ../sidecar,", "[../sidecar, ../spire,")], [NATIVE, NEWEST]),
    ("unix-socket", "unix-socket", [], [NATIVE, NEWEST]),
    ("unix-socket-plain", "unix-socket", [PLAIN, DELAY], [OLDEST, NATIVE, NEWEST]),
    # Two of them in a namespace, told apart by a prefix.
    ("wallet-prefix", "wallet", [("namespace: wallet\n", "namespace: wallet\nnamePrefix: a-\n")], [NATIVE, NEWEST]),
]


def render(name, example, changes, work):
    """The documents of a variant, in a copy of the whole folder."""
    root = work / "variants" / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(SOURCE, root)
    for old, new in changes:
        change(root / example, old, new)
    rendered = subprocess.run(
        ["kubectl", "kustomize", root / example], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    return [document for document in yaml.safe_load_all(rendered) if document]


def change(folder, old, new):
    found = [path for path in folder.glob("*.yaml") if old in path.read_text()]
    assert len(found) == 1, f"{old!r} is in {found}"
    found[0].write_text(found[0].read_text().replace(old, new))
