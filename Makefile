# make demo    two hosts, one tunnel, on one screen      make test   one build, all checks, all tests
# make check   the checks alone                          make install PREFIX=/usr/local DESTDIR=
# make bench   what it costs, side by side with others: docs/benchmarks.md
# make sanitize  the packet threads under ThreadSanitizer
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
# Arguments for `pqvpn demo`, for the test runner, and for scripts/bench.
ARGS ?=

export SWIFT_BACKTRACE := enable=no
.PHONY: all build demo test check bench sanitize install clean dependencies
.DEFAULT_GOAL := build

all: build

dependencies:
	@scripts/install-dependencies

build: dependencies
	@scripts/build -c release --product pqvpn --static-swift-stdlib

demo: build
	@.build/release/pqvpn demo $(ARGS)

test: dependencies
	@scripts/test $(ARGS)

check:
	@scripts/check

# PQVPN=FILE measures another binary, WIREGUARD_GO_NEW=FILE one more peer.
bench: build
	@scripts/bench $(ARGS)

sanitize: dependencies
	@scripts/sanitize $(ARGS)

# Builds nothing, so that `sudo make install` leaves no files of root in the clone.
install:
	@test -x .build/release/pqvpn || { echo "Run make first." >&2; exit 1; }
	install -D -m 0755 .build/release/pqvpn $(DESTDIR)$(PREFIX)/bin/pqvpn

clean:
	rm -rf .build .build-test .build-bench .build-thread .build-address
