# Each target installs what it needs (Debian, root); see .ci/install. `make ci` runs the targets that
# .ci/run lists.

.PHONY: help demo demo-test test law policy-test policy-bench reference lint format doc check build install attack fuzz release proof kubernetes memory guard
.PHONY: acceptance bench pgo image compose compose-test audit ci tools

export PATH := $(HOME)/.cargo/bin:$(PATH)

PROGRAM := target/release/sidegate
DEMO_BUILD := --profile demo --no-default-features
DEMO_PROGRAM := target/demo/sidegate
MAX_BYTES := 23068672
# How many pairs of policies, and requests for each, the law of callers tries.
LAW_PAIRS ?= 42
LAW_REQUESTS ?= 200
LAW_MORE ?= 2200
ACCEPTANCE := ../shared/acceptance/run
# Public test vectors, where there are any: more cases for the tests, more inputs for the fuzz targets.
ifneq ($(wildcard ../shared/vectors/.),)
export SIDEGATE_VECTORS ?= $(realpath ../shared/vectors)
endif

help:            ## print these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/ -/'

demo: tools      ## run Sidegate in front of four small services on this machine, and print lines to paste
	@echo "Building Sidegate for the demo. The first time takes a few minutes; cargo shows each crate."
	cargo build --locked $(DEMO_BUILD)
	$(DEMO_PROGRAM) demo

demo-test: build ## run `make demo` with the release build, and paste its first example
	tests/demo/run DEMO_BUILD=--release DEMO_PROGRAM=$(PROGRAM)

install:         ## install what the tests need
	@.ci/install test

test: install    ## run all tests; installs what they need and says what for
	@echo "Building Sidegate and its tests, then running them: about fifteen minutes the first time."
	cargo test --locked

law: install     ## hold the classes of callers that `sidegate diff` compares against 100,000 random callers
	LAW_PAIRS=$(LAW_PAIRS) LAW_REQUESTS=$(LAW_REQUESTS) LAW_MORE=$(LAW_MORE) cargo test --locked --lib -- law_caller

policy-test:     ## run the tests of the policies in policies/; a weaker policy that they do not notice is an error
	cargo run --quiet --locked -- test --require routes,weakenings policies policies/example

reference:       ## write the tables of docs/ that come from the code
	SIDEGATE_WRITE_DOCS=1 cargo test --locked --test it -- reference schema

format: tools    ## check the formatting
	cargo fmt --all --check

lint: tools      ## run the lints
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: tools       ## build the documentation of the code; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

check: tools     ## check the policies of this repository
	WALLET_JWT_SECRET=$$(printf '%032d' 0) WALLET_JOBS_KEY=$$(printf '%032d' 1) \
		cargo run --quiet --locked -- check policies

build: tools     ## build target/release/sidegate
	cargo build --release --locked

release: build   ## build target/release/sidegate, and check its size
	@size=$$(stat -c %s $(PROGRAM)); [ "$$size" -le $(MAX_BYTES) ] || \
		{ echo "the program has $$size bytes, which is more than 22 MiB" >&2; exit 1; }

attack: build    ## send slow clients and idle connections beside ordinary requests, on loopback
	tests/attack/run
	tests/attack/outages all

memory: build    ## measure the memory of the program, with nothing to do and with idle connections
	tests/attack/memory $(PROGRAM)

policy-bench: build ## measure the tests and the comparison of large policies
	tests/bench/policies $(PROGRAM)

fuzz:            ## run every fuzz target for a minute; SECONDS_EACH=600 for longer
	@.ci/install fuzz
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --all-targets --locked --target-dir target --manifest-path tests/fuzz/Cargo.toml -- -D warnings
	tests/fuzz/run $(or $(SECONDS_EACH),60)

proof: build     ## run beside an OpenID provider, services, browsers and clients of others
	@.ci/install proof
	tests/proof/run $(PROGRAM)

kubernetes: build ## check the manifests of deploy/kubernetes, with the program and without a cluster
	@.ci/install kubernetes
	tests/kubernetes/run $(PROGRAM)

guard:           ## compare the instructions of a request with the recorded ones
	@.ci/install guard
	tests/bench/guard

acceptance: build ## run the acceptance suite, where it is at hand
	@if [ -x $(ACCEPTANCE) ]; then $(ACCEPTANCE) --binary $(PROGRAM); else echo "skipped: no $(ACCEPTANCE)"; fi

bench:           ## measure Sidegate beside nginx, HAProxy, Envoy and bare pingora; an hour
	@.ci/install bench
	cargo build --release --locked
	tests/bench/run $(CASES)

pgo:             ## build target/pgo/*/release/sidegate with the profile of a load; half an hour
	@.ci/install bench
	tests/bench/pgo

audit:           ## check licences, sources and versions of all dependencies
	@.ci/install audit
	.ci/audit

image:           ## build the static program and its image; deploy/Dockerfile needs no tools but Docker
	@.ci/install image
	tests/containers/image

compose:         ## start deploy/compose with Docker or podman, and call it as in the demo; after `make image`
	@.ci/install compose
	tests/containers/compose

compose-test: image ## run `make image` and `make compose`
	@$(MAKE) --no-print-directory compose

ci:              ## run all that a change has to pass
	@.ci/run

tools:
	@.ci/install build
