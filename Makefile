# What people, CI and everybody use. Each command does its own set-up, shows progress, and ends with a one-line verdict.
#
#   make demo    a shop with 200 people in it on a real Kubernetes on this machine, while its pods, a node, the operator and
#                the API server are taken away; then the shop on 127.0.0.1
#   make down    ends every cluster of this machine, and all that belongs to it
#   make test    formatting, lints, unit tests, generated files, the simulator, the chart, then the end-to-end tests on a real
#                Kubernetes
#   make nemesis faults on a real Kubernetes on this machine, one after another and two at once, under clients whose whole history
#                is judged, for MINUTES=10; SEED=7 does the same again; BREAK=AnswerWithoutLease breaks a rule, which has to be noticed
#   make sim     schedules of faults against the replication rules, for SECONDS=60
#   make fuzz    bytes of hostile clients and members against the Redis front door and the wire format, for SECONDS=60
#   make bench   what Holdfast costs and reaches on this machine, beside Redis and Tomcat (docs/performance.md); ONLY=replication,
#                ONLY=redis or ONLY=pages, parts of them by ARGS="--part writes,growth,failover,million", "--part commands,scaling,memory"
#                or "--part frameworks,tomcat", a short run by ARGS=--quick
#   make conformance
#                the suites of real session libraries, from their registries, against a cluster of three members, and each library
#                while members are killed (docs/conformance.md); ONLY=django,redis-py, by MEMBERS=0,1,2,turn or redis, to compare
#   make images  the images as archives in target/images, named for REGISTRY=registry.example.com TAG=0.1.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help demo down test nemesis sim fuzz bench conformance images tools packages

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# What must be there before cargo can install the rest.
tools:
	@need() { command -v "$$1" >/dev/null || { echo "$$1 is missing: $$2" >&2; exit 1; }; }
	need cargo "install Rust 1.95 or newer (https://rustup.rs)"
	need go "install Go 1.24 or newer (https://go.dev/dl): Kubernetes is built with it, once"
	need cc "apt-get install build-essential"

# What the unit tests and benchmarks compare with. RUNLEVEL keeps the package from starting a server of its own.
packages:
	@command -v redis-server >/dev/null && exit 0
	echo "Installing redis-server"
	apt-get update -qq
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null

demo: tools
	@cargo run --quiet --package holdfast-tests --bin demo -- $(ARGS)

down: tools
	@cargo run --quiet --package holdfast-tests --bin cluster -- down --all
	echo "down: nothing is left"

nemesis: tools
	@cargo run --quiet --package holdfast-tests --bin nemesis -- --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK)) $(ARGS)

sim: tools
	@cargo run --quiet --profile sim --package holdfast-sim -- --seconds $(or $(SECONDS),60)

fuzz: tools
	@need() { command -v "$$1" >/dev/null || { echo "$$1 is missing: $$2" >&2; exit 1; }; }
	need c++ "apt-get install build-essential"
	fuzz/run.sh $(or $(SECONDS),60)

bench: tools packages
	@cargo build --quiet --release --package holdfast-runtime --package holdfast-bench
	target/release/bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

conformance: tools packages
	@cargo build --quiet --release --package holdfast-runtime --package holdfast-tests --bin holdfast-runtime --bin conformance
	target/release/conformance $(if $(ONLY),--only $(ONLY)) $(if $(MEMBERS),--members $(MEMBERS)) $(ARGS)

images: tools
	@cargo run --quiet --package holdfast-tests --bin cluster -- write-images --registry $(or $(REGISTRY),localhost) --tag $(or $(TAG),dev)

test: tools packages
	@step() {
		echo; echo "== $$1"; shift
		local began=$$SECONDS
		"$$@"
		echo "== done in $$((SECONDS - began)) s"
	}
	verdict() {
		local code=$$? word=passed
		[ $$code -eq 0 ] || word=FAILED
		printf '\nmake test: %s in %d min %02d s\n' $$word $$((SECONDS / 60)) $$((SECONDS % 60))
	}
	trap verdict EXIT

	step "Formatting" cargo fmt --all --check
	step "Lints" cargo clippy --workspace --all-targets -- --deny warnings
	step "Lints of the end-to-end tests" cargo clippy --package holdfast-tests --test e2e -- --deny warnings
	step "Unit tests, and that generated files are up to date" cargo test --workspace
	step "Some thousand schedules of the simulator" cargo run --quiet --profile sim --package holdfast-sim -- --seconds 30
	step "The simulator notices broken rules" cargo run --quiet --profile sim --package holdfast-sim --features broken-rules -- --check-the-checker
	step "The chart and the end-to-end tests" cargo test --package holdfast-tests --test e2e -- $(ARGS)
