# shellcheck shell=bash
# For the scripts beside it: a folder and processes that end with the script, the static program, and
# container storage of their own.

export PATH="$PWD/target/containers/bin:$HOME/.cargo/bin:$PATH"
target=$(uname -m)-unknown-linux-musl
program=$PWD/target/$target/release/sidegate
work=$(mktemp -d)
pids=()

fail() {
    echo "$*" >&2
    exit 1
}

# A process and all below it: what runs a container does not pass signals on.
family() {
    local child
    for child in $(<"/proc/$1/task/$1/children"); do family "$child"; done
    echo "$1"
}

end_all() {
    for pid in "${pids[@]}"; do family "$pid" | xargs kill; done 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
    rm -rf "$work"
}

until_true() { # seconds, command…
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "in vain: $*"
        sleep 0.2
    done
}

# Podman and buildah as they work in a container, too, without systemd and without an overlay.
own_storage() {
    cat >"$work/storage.conf" <<TOML
[storage]
driver = "vfs"
runroot = "$work/run"
graphroot = "$work/graph"
TOML
    cat >"$work/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
TOML
    export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf
}

# What deploy/Dockerfile.release is built from; more CAs than those of the system, if they are named.
image_folder() {
    mkdir "$work/image"
    cp "$program" "$work/image/sidegate"
    cat /etc/ssl/certs/ca-certificates.crt "$@" >"$work/image/ca-certificates.crt"
}
