# make demo    two hosts, one tunnel, on one screen      make test   one build, all checks, all tests
# make check   the checks alone                          make install PREFIX=/usr/local DESTDIR=
# make bench   what it costs, side by side with others: docs/benchmarks.md
# make man     manual pages in .build/man/man1; make install takes them along
# make sanitize  the suite under ThreadSanitizer, AddressSanitizer and, our own C, UndefinedBehaviorSanitizer; ARGS=address one of them
# make coverage  lines that the tests run through, by room, and what is left of VPNCrypto and VPNCore
# make assurance  all of that, for hours, and docs/assurance.md of it; ARGS="fuzz page" some of it, ARGS=page the page alone
# make soak      10,000 sessions, a flood of handshakes, 24 virtual hours and 15 minutes of load; each figure and the page
# make timing    whether failures take a time that tells something (docs/side-channels.md)
# make budgets what a packet may cost: no allocation, so many instructions (Benchmarks/budgets.txt); ARGS=--write
# make mutants JOBS=2  conditions of the protocol taken away one by one, and whether a test notices; an hour and more
# make deb     a Debian package of what make has built, in .build
# make formal  the model of the handshake: every run within its bounds, claims and negative controls (docs/formal)
# make sbom    what the program is made of, as CycloneDX JSON, in .build/sbom.json
# make fuzz SECONDS=60 TARGET=splitter JOBS=2   decoders and state machines under libFuzzer; without TARGET all of them; ARGS=--swarm many
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
# Arguments for `pqvpn demo`, for the test runner, and for scripts/bench.
ARGS ?=

export SWIFT_BACKTRACE := enable=no
# Of make fuzz. SECONDS of the environment is the shell's own clock.
SECONDS = 60
TARGET ?=
JOBS ?= 1

.PHONY: all assurance build man demo test check bench budgets coverage formal fuzz mutants sanitize soak timing sbom install deb clean dependencies
.DEFAULT_GOAL := build

all: build

dependencies:
	@scripts/install-dependencies

build: dependencies
	@. scripts/common.sh && build_shipped --product pqvpn

man: build
	@.build/release/pqvpn man --out .build/man/man1 --date "$$(git log -1 --format=%cs 2>/dev/null || date -u +%F)"

demo: build
	@.build/release/pqvpn demo $(ARGS)

test:
	@scripts/install-dependencies tests
	@scripts/test $(ARGS)

check:
	@scripts/check

# PQVPN=FILE measures another binary, WIREGUARD_GO_NEW=FILE one more peer.
bench: build
	@scripts/bench $(ARGS)

sanitize: dependencies
	@scripts/sanitize $(ARGS)

coverage: dependencies
	@scripts/coverage $(ARGS)

assurance: build
	@scripts/assurance $(ARGS)

soak: build
	@scripts/assurance sessions flood day soak

timing: dependencies
	@scripts/timing $(ARGS)

budgets:
	@scripts/install-dependencies budgets
	@scripts/budgets $(ARGS)

mutants: dependencies
	@scripts/mutants --jobs $(JOBS) $(ARGS)

formal:
	@scripts/formal $(ARGS)

# Builds nothing; knows the versions once something has been built.
sbom:
	@scripts/sbom $(ARGS)

fuzz:
	@scripts/fuzz --seconds $(SECONDS) --jobs $(JOBS) $(if $(TARGET),--target $(TARGET)) $(ARGS)

# Builds nothing, so that `sudo make install` leaves no files of root in the clone.
install:
	@test -x .build/release/pqvpn || { echo "Run make first." >&2; exit 1; }
	install -D -m 0755 .build/release/pqvpn $(DESTDIR)$(PREFIX)/bin/pqvpn
	@for page in .build/man/man1/*.1; do \
	    test ! -e "$$page" || install -D -m 0644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man1/$${page##*/}"; done

deb: build
	@scripts/make-deb $(ARGS)

clean:
	rm -rf .build .build-test .build-bench .build-fuzz .build-thread .build-threads .build-address .build-coverage .build-mutants
