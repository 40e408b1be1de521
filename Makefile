# ckbackup's tasks; `make help` lists them.
PREFIX ?= /usr/local
DESTDIR ?=
BINARY := .build/release/ckbackup
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
SEEDS ?= 500
ROUNDS ?= 100
INPUTS ?= 1000000
SEED ?=
SIZE ?= 1024
RATE ?= 5
.PHONY: help quickstart build install test unit simulate mutations fuzz sanitize integration test-stores frameworks crash nth-fault faulty-network lint bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: build ## from a fresh clone to a checkpoint pushed, verified and restored
	@scripts/quickstart.sh $(BINARY)

build: ## the release program, .build/release/ckbackup
	@scripts/setup.sh build
	swift build -c release --static-swift-stdlib --product ckbackup

install: build ## the program into PREFIX/bin (default /usr/local)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/ckbackup

test: unit integration ## all tests

unit: ## the tests of the Swift targets, 2,000 simulated episodes and 200,000 mutated inputs
	@scripts/setup.sh build
	swift test --disable-xctest
	swift build -c release --product simulate
	.build/release/simulate 2000
	swift build -c release --product fuzz
	.build/release/fuzz 200000

simulate: ## SEEDS episodes of actors, faults and deaths on a simulated store (docs/reliability.md)
	@scripts/setup.sh build
	swift build -c release --product simulate
	.build/release/simulate $(SEEDS)

mutations: ## breaks the engine in one place after the other: the simulation must notice (docs/reliability.md)
	@scripts/setup.sh build
	python3 scripts/mutations.py $(ARGS)

fuzz: ## INPUTS mutated inputs for every reader of outside bytes, of SEED or a new one (docs/reliability.md)
	@scripts/setup.sh build
	swift build -c release --product fuzz
	.build/release/fuzz $(INPUTS) $(SEED)

# The address sanitizer takes the undefined-behaviour checks of the C and C++ sources along, as traps: swiftc has no runtime for
# them on Linux, and Swift code checks itself. Any report of either sanitizer fails the run; what they cannot know they are told
# in scripts/leaks.supp and Tests/Sanitizers.
UNDEFINED := -fsanitize=undefined -fsanitize-trap=undefined
sanitize: ## the tests of the Swift targets under the address, undefined-behaviour and thread sanitizers
	@scripts/setup.sh build
	LSAN_OPTIONS=suppressions=$(CURDIR)/scripts/leaks.supp swift test --disable-xctest --sanitize=address \
	  $(UNDEFINED:%=-Xcc %) $(UNDEFINED:%=-Xcxx %) --scratch-path .build/sanitize-address
	swift test --disable-xctest --sanitize=thread --scratch-path .build/sanitize-thread

integration: build ## the release program against real servers; ARGS go to pytest
	@scripts/setup.sh test
	cd Integration && ../$(PYTHON) -m pytest $(ARGS)

test-stores: build ## the main job on every S3 server that can be installed, and a table of what came out; ARGS go to pytest
	@scripts/setup.sh stores
	cd Integration && ../scripts/alone.sh ../.venv-stores/bin/python -m pytest stores --write-matrix $(ARGS)

frameworks: build ## exports and resumed trainings, with torch, transformers and DeepSpeed; ARGS go to pytest
	@scripts/setup.sh frameworks
	cd Frameworks && ../.venv-frameworks/bin/python -m pytest $(ARGS)

crash: build ## ROUNDS kills of push, restore, prune and copy in turn, on directories and SeaweedFS; ARGS go to Integration/crash_rounds.py
	@scripts/setup.sh test
	$(PYTHON) Integration/crash_rounds.py --rounds $(ROUNDS) --store both $(ARGS)

nth-fault: build ## every n-th system call fails or is the last; ARGS go to Integration/nth_fault.py
	@scripts/setup.sh test
	$(PYTHON) Integration/nth_fault.py $(ARGS)

faulty-network: build ## SIZE MiB through a network with a fault in RATE percent of all requests (docs/reliability.md)
	@scripts/setup.sh test
	cd Integration && FAULTY_SIZE=$(SIZE) FAULTY_RATE=$(RATE) ../$(PYTHON) -m pytest -q -s --durations=0 \
	  test_faulty_network.py -k "dies or never or at_once_lose" $(ARGS)

lint: ## formats, and that every script at least compiles
	@scripts/setup.sh test
	swift format lint --strict --recursive Package.swift Sources Simulation Fuzzing Benchmarks Tests
	$(PYTHON) -m pyflakes Integration Frameworks Benchmarks scripts Sources
	$(PYTHON) -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))' \
	  Sources/Repository/Recovery/recover.py
	bash -n scripts/*.sh .ci/run

bench: build ## ckbackup against its goals, beside s5cmd, rclone and restic (docs/performance.md); ARGS go to Benchmarks/bench.py
	@scripts/setup.sh bench
	swift build -c release --product digest-speed
	swift build -c release --product manifest-speed
	$(PYTHON) Benchmarks/bench.py $(ARGS)

clean: ## removes what was built and installed below this directory
	rm -rf .build .venv .venv-stores build
