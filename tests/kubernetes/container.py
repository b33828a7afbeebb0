"""Containers of a pod on this machine: their users, groups, mounts and read-only root file systems, as a manifest
states them. Needs root, and a mount namespace of its own (`unshare --mount`), with which all mounts end."""

import os
import pathlib
import signal
import subprocess
import sys

# What stands in for an image: the programs of this machine, and this Python with its packages.
IMAGE = ["/usr", "/proc", "/dev", sys.base_prefix, sys.prefix]


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def bind(source, target, read_only):
    target.mkdir(parents=True, exist_ok=True) if source.is_dir() else target.touch()
    mount("--bind", source, target)
    if read_only:
        mount("--options", "remount,bind,ro", target)


def volume(pod, of_pod, folder):
    """An `emptyDir` in memory as the kubelet makes it: open to all users, with the group of `fsGroup` for new files."""
    size = of_pod["emptyDir"]["sizeLimit"].removesuffix("i")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size},mode=3777,gid={pod['spec']['securityContext']['fsGroup']}", "tmpfs", folder)


class Container:
    """A root file system with the volumes of a container, and its processes."""

    def __init__(self, pod, container, volumes, image, root):
        self.root, self.group = root, pod["spec"]["securityContext"]["fsGroup"]
        context = container["securityContext"]
        self.user, self.own_group = context["runAsUser"], context["runAsGroup"]
        self.command = [*container.get("command", ["/sidegate"]), *container["args"]]
        self.environment = {each["name"]: each["value"] for each in container.get("env", [])}
        self.environment |= {"PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin", "PYTHONPATH": "/program"}
        root.mkdir()
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
        for name in ("bin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        for folder in IMAGE:
            bind(pathlib.Path(folder), root / folder.lstrip("/"), True)
        # The place for files in memory that every container has.
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "dev/shm")
        for name, source in image.items():
            bind(source, root / name, True)
        for each in container["volumeMounts"]:
            bind(volumes[each["name"]], root / each["mountPath"].lstrip("/"), each.get("readOnly", False))
        if context["readOnlyRootFilesystem"]:
            mount("--options", "remount,bind,ro", root)

    def inside(self, *command, user=None):
        """A command in the container, as its user or as another one that has only its own group."""
        group, groups = (self.own_group, f"--groups={self.group}") if user is None else (user, "--clear-groups")
        ids = [f"--reuid={user or self.user}", f"--regid={group}", groups]
        nothing_more = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["chroot", self.root, "setpriv", *ids, *nothing_more, *command]

    def run(self, *command, user=None):
        """The status and the output of a command."""
        command = self.inside(*command, user=user)
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def start(self, log):
        with open(log, "a", encoding="utf-8") as output:
            return subprocess.Popen(
                self.inside(*self.command), env=self.environment, stdout=output, stderr=output, start_new_session=True
            )


def end(process, how=signal.SIGKILL):
    """Ends a process and all that it started. Returns its status."""
    if process.poll() is None:
        os.killpg(process.pid, how)
    return process.wait()
