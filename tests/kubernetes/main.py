"""Renders and checks every variant, checks that the checks find faults, and runs some with the program."""

import copy
import pathlib
import sys

import kubernetes_validate as schemas
import yaml

import bystanders
import live
import rules
import unix_socket
import variants

# Resources of operators, whose schemas are not part of Kubernetes. `rules.py` looks at them.
OTHERS = {"PodMonitor", "Certificate"}

SERVICE, SIDEGATE = ("containers", 0), ("initContainers", 0)

# Each of these is a fault that has to be found: where, below the pod's spec, and what is put there.
FAULTS = [
    (("hostNetwork",), True),
    (("volumes", 0, "hostPath"), {"path": "/"}),
    ((*SERVICE, "securityContext", "runAsUser"), "app"),
    ((*SERVICE, "securityContext", "runAsUser"), 0),
    ((*SERVICE, "securityContext", "runAsNonRoot"), False),
    ((*SIDEGATE, "securityContext", "runAsNonRoot"), False),
    ((*SIDEGATE, "securityContext", "allowPrivilegeEscalation"), None),
    ((*SIDEGATE, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    ((*SERVICE, "securityContext", "seccompProfile"), {"type": "Unconfined"}),
    ((*SERVICE, "securityContext", "readOnlyRootFilesystem"), False),
    ((*SIDEGATE, "ports", 0, "hostPort"), 80),
    ((*SERVICE, "ports"), [{"containerPort": 3002}]),
    ((*SERVICE, "ports"), [{"containerPort": rules.DATA}]),
    ((*SERVICE, "readinessProbe"), {}),
    ((*SERVICE, "livenessProbe", "httpGet", "port"), 3002),
    ((*SIDEGATE, "livenessProbe", "httpGet", "path"), "/health"),
    ((*SIDEGATE, "livenessProbe", "httpGet", "path"), "/readyz"),
    ((*SIDEGATE, "startupProbe", "httpGet", "path"), "/readyz"),
    ((*SIDEGATE, "readinessProbe", "httpGet", "path"), "/livez"),
    ((*SIDEGATE, "restartPolicy"), None),
    ((*SERVICE, "lifecycle"), {}),
    (("terminationGracePeriodSeconds",), 30),
    (("automountServiceAccountToken",), True),
]

# The same of a pod whose service listens on a unix socket.
SOCKET_FAULTS = [
    (("securityContext", "fsGroup"), None),
    (("securityContext", "fsGroup"), 30000),
    ((*SERVICE, "securityContext", "runAsGroup"), 10001),
    ((*SERVICE, "securityContext", "runAsUser"), 65532),
    ((*SERVICE, "ports"), [{"containerPort": 8000}]),
    ((*SERVICE, "volumeMounts", 0, "readOnly"), True),
    ((*SERVICE, "volumeMounts", 0, "mountPath"), "/run/other"),
    ((*SIDEGATE, "volumeMounts", -1, "readOnly"), False),
    ((*SIDEGATE, "volumeMounts", -1, "mountPath"), "/run/other"),
    (("volumes", -1, "emptyDir"), {}),
    (("volumes", -1, "emptyDir"), {"medium": "Memory"}),
]


def put(target, path, value):
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value


def validate(documents, versions):
    for document in documents:
        for version in versions:
            try:
                schemas.validate(document, version, strict=True)
            except schemas.SchemaNotFoundError:
                assert document["kind"] in OTHERS, f"{document['kind']} is not in Kubernetes {version}"


def find_faults_of_pod(documents, faults):
    for path, value in faults:
        wrong = copy.deepcopy(documents)
        put(rules.pods(wrong)[0]["spec"], path, value)
        assert list(rules.all_of(wrong, True)), f"not found: {path} {value}"


def find_faults(documents):
    """What is wrong is found, and a field that no version knows too."""
    find_faults_of_pod(documents, FAULTS)
    for kind, path, value in [
        ("Service", ("spec", "ports", 0, "targetPort"), 3002),
        ("NetworkPolicy", ("spec", "ingress", 0, "ports", 0, "port"), 3002),
        ("NetworkPolicy", ("spec", "podSelector", "matchLabels"), {"sidegate": "x"}),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "port"), "http"),
        ("Namespace", ("metadata", "labels"), {}),
    ]:
        wrong = copy.deepcopy(documents)
        put(rules.of_kind(wrong, kind)[0], path, value)
        assert list(rules.all_of(wrong, True)), f"not found: {kind} {path} {value}"
    wrong = copy.deepcopy(documents)
    put(rules.pods(wrong)[0]["spec"], (*SIDEGATE, "restartpolicy"), "Always")
    try:
        validate(wrong, [variants.NEWEST])
    except schemas.ValidationError:
        return
    raise AssertionError("the schemas are not strict")


def main(program, work):
    checked = 0
    for name, example, changes, versions in variants.VARIANTS:
        documents = variants.render(name, example, changes, work)
        validate(documents, versions)
        is_native = variants.PLAIN not in changes
        wrong = list(rules.all_of(documents, is_native))
        assert not wrong, f"{name}: {wrong}"
        if name == "wallet":
            find_faults(documents)
            bystanders.check("sidecar", work / "variants" / name)
        if name == "wallet-plain":
            bystanders.check("sidecar-plain", work / "variants" / name)
        if name == "unix-socket":
            find_faults_of_pod(documents, SOCKET_FAULTS)
        if not unix_socket.is_on_socket(documents):
            live.run(program, documents, work / "live" / name)
        elif is_native:
            unix_socket.run(program, documents, work / "live" / name)
        checked += len(documents)
        print(f"{name}: {len(documents)} resources, Kubernetes {', '.join(versions)}", flush=True)
    print(f"{len(variants.VARIANTS)} variants, {checked} resources, no problems")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]))
