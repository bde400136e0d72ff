# Sourced by the scripts beside it: where the repository is, and how a check speaks.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A trap in a Swift program otherwise starts the interactive backtracer, which can hang a shell without a terminal.
export SWIFT_BACKTRACE=enable=no

# The tracked and the new files of the repository that match the given patterns.
files() { git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r f; do [ ! -f "$f" ] || echo "$f"; done; }

findings=0
finding() {
    echo "$*" >&2
    findings=$((findings + 1))
}

# Ends a check: $1 its name. Findings have been printed already.
conclude() {
    if [ "$findings" -gt 0 ]; then
        echo "$1: $findings finding(s)" >&2
        exit 1
    fi
    echo "$1: ok"
}

# The two builds: of the tests, which fuzzing and budgets use as well, with UndefinedBehaviorSanitizer for our own C in the form that
# needs no library (what is undefined ends the process); and the one that is shipped, beside which speed is measured.
tested=(-c release -Xswiftc -enable-testing --explicit-target-dependency-import-check error --scratch-path .build-test)
shipped=(-c release --static-swift-stdlib --disable-local-rpath)
build_tested() { PQVPN_TRAP_UNDEFINED=1 scripts/build "${tested[@]}" "$@"; }
build_shipped() { scripts/build "${shipped[@]}" "$@"; }

calculate() { awk "BEGIN { printf \"%.9g\", $* }"; }

# One figure on the screen, and a line of PQVPN_RESULTS where that names a file: scripts/assurance makes docs/assurance.md of them.
record() { # SECTION NAME VALUE UNIT
    printf '%s: %s: %s%s\n' "$1" "$2" "$3" "${4:+ $4}"
    [ -z "${PQVPN_RESULTS:-}" ] || printf '%s\t%s\t%s\t%s\n' "$@" >>"$PQVPN_RESULTS"
}
