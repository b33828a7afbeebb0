# For the scripts beside it: a Sidegate on loopback with small services behind it, and an end to
# all of them. Sets `work`, `port`, `tls_port`, `admin_port` and `sidegate_pid`; knows only processes that it started.

work=$(mktemp -d)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait "${pids[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

install_missing() { # program=package…
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_service() { # name; sets `service_port`
    python3 "$here/service.py" >"$work/$1" &
    pids+=($!)
    until [ -s "$work/$1" ]; do sleep 0.05; done
    service_port=$(cat "$work/$1")
}

start_sidegate() { # binary
    port=$(free_port) tls_port=$(free_port)
    admin_port=$(free_port)
    export ATTACK_SECRET=not-much-of-a-secret-but-32-bytes
    mkdir -p "$work/policies"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
        -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
    cat >"$work/sidegate.yaml" <<YAML
version: 1
listeners:
  - address: 127.0.0.1:$port
  - { address: "127.0.0.1:$tls_port", tls: { certificate: tls.crt, key: tls.key } }
# Some of the servers never answer.
admin: { address: "127.0.0.1:$admin_port", ready: always }
log: { access: false }
limits: ${limits:-{\}}
store: ${store:-memory}
YAML
    # Two services, so that one that is busy with the attack does not count for ordinary requests.
    start_service attacked
    cat >"$work/policies/attacked.yaml" <<YAML
version: 1
service: attacked
prefix: /attacked
upstream: { url: "http://127.0.0.1:$service_port" }
routes: [{ path: /*, auth: public }]
YAML
    start_service ordinary
    cat >"$work/policies/ordinary.yaml" <<YAML
version: 1
service: ordinary
prefix: /ordinary
upstream: { url: "http://127.0.0.1:$service_port" }
jwt:
  issuers:
    - { issuer: attack, audience: [attack], algorithms: [HS256], keys: { secret: { env: ATTACK_SECRET } } }
routes: [{ path: /*, auth: jwt }]
YAML
    "$1" run --config "$work/sidegate.yaml" >"$work/log" &
    sidegate_pid=$!
    pids+=("$sidegate_pid")
    until curl -sf -o /dev/null "http://127.0.0.1:$admin_port/readyz"; do
        kill -0 "$sidegate_pid" || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
}
