"""What has to hold for what is rendered. Each rule yields what is wrong."""

import yaml

DATA, ADMIN = 14080, 14090
RESTRICTED_VOLUMES = set(
    "configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret".split()
)
ADMIN_PATHS = {"/livez", "/readyz", "/metrics", "/upstream/healthz"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# What the service itself has to end in, at the least, in seconds.
SERVICE_DRAIN = 20


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def pods(documents):
    return [deployment["spec"]["template"] for deployment in of_kind(documents, "Deployment")]


def containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def sidegate(pod):
    return next(container for container in containers(pod) if container["name"] == "sidegate")


def config_map(documents, pod, volume):
    """The data of the ConfigMap that a volume of the pod has."""
    name = next(each for each in pod["spec"]["volumes"] if each["name"] == volume)["configMap"]["name"]
    return next(each for each in of_kind(documents, "ConfigMap") if each["metadata"]["name"] == name)["data"]


def configuration(documents, pod):
    return yaml.safe_load(config_map(documents, pod, "sidegate")["sidegate.yaml"])


def socket_of(documents, pod):
    """The path of the unix socket that the service listens on, if it does."""
    scheme, _, path = configuration(documents, pod)["admin"]["probe"]["upstream"].partition(":")
    return path if scheme == "unix" else None


def restricted(documents):
    """The Pod Security Standard `restricted`, and a read-only root file system."""
    for pod in pods(documents):
        spec = pod["spec"]
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(host):
                yield f"the pod has {host}"
        for volume in spec.get("volumes", []):
            if not set(volume) - {"name"} <= RESTRICTED_VOLUMES:
                yield f"volume {volume['name']}: {sorted(set(volume) - {'name'})}"
        of_pod = spec.get("securityContext", {})
        for container in containers(pod):
            context, name = container.get("securityContext", {}), container["name"]
            profile = context.get("seccompProfile", of_pod.get("seccompProfile", {}))
            user = context.get("runAsUser", of_pod.get("runAsUser"))
            for fine, what in [
                (context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True, "may run as root"),
                (type(user) is int and user > 0, f"has the user {user!r}"),
                (context.get("allowPrivilegeEscalation") is False, "may gain privileges"),
                (not context.get("privileged"), "is privileged"),
                (context.get("capabilities") == {"drop": ["ALL"]}, "has capabilities"),
                (profile.get("type") == "RuntimeDefault", "has no seccomp profile"),
                (context.get("procMount", "Default") == "Default", "has another procMount"),
                (context.get("readOnlyRootFilesystem") is True, "can write to its root"),
                (not any("hostPort" in port for port in container.get("ports", [])), "has a port of the host"),
            ]:
                if not fine:
                    yield f"{name} {what}"


def namespace(documents):
    labels = [each["metadata"].get("labels", {}) for each in of_kind(documents, "Namespace")]
    for mode in ("enforce", "audit", "warn"):
        if [each.get(f"pod-security.kubernetes.io/{mode}") for each in labels] != ["restricted"]:
            yield f"the namespace does not {mode} the restricted profile"


def ports(documents):
    """Nothing but Sidegate is reachable: by container, Service, NetworkPolicy or configuration."""
    for pod in pods(documents):
        taken = [(port["containerPort"], each["name"]) for each in containers(pod) for port in each.get("ports", [])]
        if sorted(taken) != [(DATA, "sidegate"), (ADMIN, "sidegate")]:
            yield f"the containers have the ports {taken}"
        config = configuration(documents, pod)
        addresses = [each["address"] for each in config["listeners"]] + [config["admin"]["address"]]
        if addresses != [f"0.0.0.0:{DATA}", f"0.0.0.0:{ADMIN}"]:
            yield f"sidegate.yaml listens on {addresses}"
        if not config["admin"]["probe"]["upstream"].startswith(("http://127.0.0.1:", "unix:")):
            yield "the service is not on loopback"
        selected = pod["metadata"]["labels"].items()
        for service in of_kind(documents, "Service"):
            if not service["spec"]["selector"].items() <= selected:
                yield "the Service selects something else"
            if [port["targetPort"] for port in service["spec"]["ports"]] != [DATA]:
                yield f"the Service leads to {service['spec']['ports']}"
        policies = of_kind(documents, "NetworkPolicy")
        if [each["spec"]["podSelector"]["matchLabels"].items() <= selected for each in policies] != [True]:
            yield "not one NetworkPolicy selects the pod"
        for policy in policies:
            rules = [(rule["ports"], "from" in rule) for rule in policy["spec"]["ingress"]]
            wanted = [([{"protocol": "TCP", "port": DATA}], False), ([{"protocol": "TCP", "port": ADMIN}], True)]
            if policy["spec"]["policyTypes"] != ["Ingress"] or rules != wanted:
                yield f"the NetworkPolicy lets in {rules}"


def unix_socket(documents):
    """Only Sidegate and the service, which are two users of one group, reach the folder of the socket."""
    for pod in pods(documents):
        path = socket_of(documents, pod)
        if not path:
            continue
        for policy in config_map(documents, pod, "sidegate-policies").values():
            url = yaml.safe_load(policy)["upstream"]["url"]
            if url != f"unix:{path}":
                yield f"the probe asks another service than {url}"
        folder = path.rpartition("/")[0]
        mounts = [
            (each["name"], mount["name"], mount.get("readOnly", False))
            for each in containers(pod)
            for mount in each.get("volumeMounts", [])
            if mount["mountPath"] == folder
        ]
        service = pod["spec"]["containers"][0]
        volume = mounts[0][1] if mounts else None
        if sorted(mounts) != sorted([("sidegate", volume, True), (service["name"], volume, False)]):
            yield f"{folder} is mounted as {mounts}"
            continue
        seen = [each["name"] for each in containers(pod) for mount in each["volumeMounts"] if mount["name"] == volume]
        if len(seen) != 2:
            yield f"{seen} see the socket"
        kind = next(each for each in pod["spec"]["volumes"] if each["name"] == volume).get("emptyDir", {})
        if kind.get("medium") != "Memory" or "sizeLimit" not in kind:
            yield f"the volume of the socket is {kind}"
        contexts = [each["securityContext"] for each in (service, sidegate(pod))]
        if contexts[0]["runAsUser"] == contexts[1]["runAsUser"]:
            yield "the service and Sidegate are one user"
        group = pod["spec"]["securityContext"].get("fsGroup")
        if not group or contexts[0].get("runAsGroup") != group:
            yield f"the socket belongs to the group {contexts[0].get('runAsGroup')}, and the volume to {group}"


def probes(documents):
    for pod in pods(documents):
        for container in containers(pod):
            name, ends = container["name"], container in pod["spec"].get("initContainers", [])
            if name.startswith("spiffe-helper") or (ends and container.get("restartPolicy") != "Always"):
                continue
            for probe in PROBES:
                asked = container.get(probe, {}).get("httpGet", {})
                if asked.get("port") != ADMIN or asked.get("path") not in ADMIN_PATHS:
                    yield f"{name} has the {probe} {asked}"
                # The service may publish the keys that Sidegate waits for, and starts after this probe.
                if name == "sidegate" and asked.get("path") == "/readyz" and probe != "readinessProbe":
                    yield f"the {probe} waits for what may be in the service"
                if name == "sidegate" and asked.get("path") != "/readyz" and probe == "readinessProbe":
                    yield "the pod is ready without keys"
                # A service that is gone must not be taken for a Sidegate that is.
                if (asked.get("path") == "/upstream/healthz") == (name == "sidegate"):
                    yield f"the {probe} of {name} asks somebody else"
        timeout = configuration(documents, pod)["admin"]["probe"].get("timeout", "1s")
        service = pod["spec"]["containers"][0]
        if any(service.get(probe, {}).get("timeoutSeconds", 1) <= int(timeout.rstrip("s")) for probe in PROBES):
            yield "the kubelet gives up before Sidegate does"


def sidecar(documents, is_native):
    for pod in pods(documents):
        container = sidegate(pod)
        if (container in pod["spec"].get("initContainers", [])) != is_native:
            yield "Sidegate is among the wrong containers"
        if container.get("restartPolicy") != ("Always" if is_native else None):
            yield f"Sidegate has the restartPolicy {container.get('restartPolicy')}"
        if [each["name"] for each in pod["spec"].get("initContainers", [])][-1:] != ["sidegate"][: int(is_native)]:
            yield "Sidegate is not the last that starts before the service"
        if any("subPath" in mount for each in containers(pod) for mount in each.get("volumeMounts", [])):
            yield "a file that is mounted with subPath never changes"
        secret = {"sidegate-secrets", "sidegate-tls", "sidegate-token"}
        for each in pod["spec"]["containers"]:
            if each["name"] != "sidegate" and secret & {mount["name"] for mount in each.get("volumeMounts", [])}:
                yield f"{each['name']} sees the secrets of Sidegate"
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield "every container has the token of the service account"


def drain(documents, is_native):
    """The service goes on for a while, and all is over before the kubelet kills."""
    for pod in pods(documents):
        config = configuration(documents, pod)["shutdown"]
        delay, grace = (int(config.get(name, "0s").rstrip("s")) for name in ("delay", "grace"))
        before = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
        sleep = before.get("sleep", {}).get("seconds") if is_native else int(before["exec"]["command"][1])
        time = pod["spec"]["terminationGracePeriodSeconds"]
        if not sleep or sleep < 5:
            yield f"the service sleeps for {sleep} s"
            continue
        if is_native and (delay or time < sleep + SERVICE_DRAIN + grace):
            yield f"{sleep} + {SERVICE_DRAIN} + {delay} + {grace} s do not fit into {time} s"
        if not is_native and (delay != sleep or grace < SERVICE_DRAIN or time < delay + grace):
            yield f"{delay} + {grace} s beside {sleep} s do not fit into {time} s"


def monitor(documents):
    """What no schema is at hand for, is asked for field by field."""
    for pod in pods(documents):
        names = {port["name"]: port["containerPort"] for port in sidegate(pod)["ports"]}
        for each in of_kind(documents, "PodMonitor"):
            if each["apiVersion"] != "monitoring.coreos.com/v1":
                yield f"the PodMonitor is one of {each['apiVersion']}"
            if set(each["spec"]) != {"selector", "podMetricsEndpoints"}:
                yield f"the PodMonitor has {sorted(each['spec'])}"
            if not each["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items():
                yield "the PodMonitor selects something else"
            for endpoint in each["spec"]["podMetricsEndpoints"]:
                if names.get(endpoint["port"]) != ADMIN or endpoint["path"] != "/metrics":
                    yield f"the PodMonitor scrapes {endpoint}"
    if len(of_kind(documents, "PodMonitor")) != 1:
        yield "there is no PodMonitor"


def certificate(documents):
    for pod in pods(documents):
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        mounted = {mount["name"]: mount for mount in sidegate(pod)["volumeMounts"]}
        if not all(mount.get("readOnly") for mount in mounted.values()):
            yield "Sidegate can write to its files"
        if not mounted.keys() <= volumes.keys():
            yield f"there are no volumes for {mounted.keys() - volumes.keys()}"
        secret = volumes.get("sidegate-tls", {}).get("secret", {}).get("secretName")
        issued = [each["spec"]["secretName"] for each in of_kind(documents, "Certificate")]
        if issued != ([secret] if secret else []):
            yield f"{secret} is mounted, and {issued} is issued"


def all_of(documents, is_native):
    for rule in (restricted, namespace, ports, unix_socket, probes, monitor, certificate):
        yield from rule(documents)
    yield from sidecar(documents, is_native)
    yield from drain(documents, is_native)
