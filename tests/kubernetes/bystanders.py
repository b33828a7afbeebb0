"""The components on Deployments that have things of their own, and on one that nobody has labelled."""

import subprocess

import yaml

import rules


def deployment(name, labels):
    """Somebody's service, with an init container, a volume and a user of its own."""
    container = {"name": "service", "image": "service:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    spec = {
        "securityContext": {"fsGroup": 2000},
        "initContainers": [{"name": "migrate", "image": "service:1", "args": ["migrate"]}],
        "containers": [container, {"name": "helper", "image": "helper:1"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def names(containers):
    return [each["name"] for each in containers]


def check(component, root):
    """What the component makes of them."""
    folder = root / "any"
    folder.mkdir()
    plain, guarded = deployment("plain", {}), deployment("guarded", {"sidegate": "sidecar"})
    (folder / "deployments.yaml").write_text(yaml.safe_dump_all([plain, guarded]))
    kustomization = {"resources": ["deployments.yaml"], "components": [f"../{component}"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    rendered = subprocess.run(["kubectl", "kustomize", folder], stdout=subprocess.PIPE, check=True, text=True).stdout
    found = {each["metadata"]["name"]: each for each in yaml.safe_load_all(rendered)}
    plain["metadata"].pop("labels")
    found["plain"]["metadata"].pop("labels", None)
    assert found["plain"] == plain, "a Deployment without the label is changed"
    spec = found["guarded"]["spec"]["template"]["spec"]
    starts = ["migrate"] if component == "sidecar-plain" else ["sidegate", "migrate"]
    runs = ["service", "helper"] + ["sidegate"] * (component == "sidecar-plain")
    assert (names(spec["initContainers"]), names(spec["containers"])) == (starts, runs), spec
    assert spec["securityContext"]["fsGroup"] == 2000
    assert "data" in names(spec["volumes"])
    service, helper = spec["containers"][:2]
    assert service["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    assert all(probe in service and probe not in helper for probe in rules.PROBES)
