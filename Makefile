# Each target installs what it needs (Debian, root); see .ci/install.

.PHONY: help demo test lint check build attack fuzz proof kubernetes guard bench pgo image compose-test audit ci

help:            ## these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/ -/'

demo: tools      ## auth-svc, Integration Hub, Wallet and Sidegate on this machine
	cargo run --quiet --locked -- demo

test:            ## all tests
	@.ci/install test
	cargo test --locked

lint: tools      ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

check: tools     ## the policies of this repository
	WALLET_JWT_SECRET=$$(printf '%032d' 0) WALLET_JOBS_KEY=$$(printf '%032d' 1) \
		cargo run --quiet --locked -- check policies

build: tools     ## target/release/sidegate
	cargo build --release --locked

attack: tools    ## slow clients and idle connections beside ordinary requests, on loopback
	cargo build --release --locked
	tests/attack/run
	tests/attack/outages all

fuzz:            ## a minute of every fuzz target; SECONDS_EACH=600 for longer
	@.ci/install fuzz
	tests/fuzz/run $(SECONDS_EACH)

proof: build     ## beside an OpenID provider, a NestJS application and clients that are not ours; needs Node
	tests/proof/run

kubernetes: build ## the manifests of deploy/kubernetes, with the program and without a cluster
	@.ci/install kubernetes
	tests/kubernetes/run target/release/sidegate

guard:           ## instructions of what a request costs, against what is written down
	@.ci/install guard
	tests/bench/guard

bench:           ## Sidegate beside nginx, HAProxy, Envoy and bare pingora; an hour
	@.ci/install bench
	cargo build --release --locked
	tests/bench/run $(CASES)

pgo:             ## target/pgo/*/release/sidegate, built with what a load taught the compiler; half an hour
	@.ci/install bench
	tests/bench/pgo

audit:           ## licences, sources and versions of all that is built in
	@.ci/install audit
	.ci/audit

image:           ## the static program, and its image; deploy/Dockerfile needs no tools but Docker
	@.ci/install image
	tests/containers/image

compose-test:    ## deploy/compose, brought up where Docker or podman runs, and called as in the demo; with the image
	@.ci/install compose
	tests/containers/image
	tests/containers/compose

ci:              ## what has to hold before a change lands
	bash .ci/run

.PHONY: tools
tools:
	@.ci/install build
