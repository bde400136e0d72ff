# The stage of one pass over one peer, and what a peer's file may use; sourced by scripts/bench-pass. Measures nothing.
#
#     client  $IC                                              server  $IS = $TARGET
#        tunnel --- the peer's program --- outer ===cable=== outer --- the peer's program --- tunnel
#                                          $OC           $OS
#
# With RELAYS=3 three more namespaces stand in a row between the two, and nobody has a route beyond its neighbours:
#
#     client $OC --- ${OL[0]} relay ${OR[0]} --- ${OL[1]} relay ${OR[1]} --- ${OL[2]} relay ${OR[2]} --- $OS server
#
# A peer is a file peers/NAME.sh that defines
#   describe     prints one line: program, version, what is set
#   prepare      puts keys and configurations into $W; not timed
#   server_up    starts what runs at the server
#   client_up    starts the client; timed until the first answered ping
# and may define
#   available    status 0 if it can run here, else a line that says what is missing
#   handshake_milliseconds   what the peer's own log says of its handshake
#   relayed_packets          what the middle one of three relays has passed on so far, both ways
#   tidy         removes what it left outside of $W and the namespaces
# It uses $NSC and $NSS (namespaces), $OC and $OS (outer addresses), $IC and $IS (inner ones), $W (a directory), $BIN (tools),
# $TAG (unique, six digits), and
#   bg ROLE NAMESPACE COMMAND...   starts a daemon that stays in the foreground; ROLE is c, s, or r1, r2, ... of a relay,
#                                  with a suffix for its second, third, ... daemon; output to $W/ROLE.log
#   nsx NAMESPACE COMMAND...       runs a command there
#   waitlink NAMESPACE INTERFACE   waits for an interface
#   tunup NAMESPACE INTERFACE ADDRESS/LENGTH MTU
# It may set RELAYS, and TARGET to another address of the server, which is what the client pings and sends to; to $OS by
# TARGET=outer, since that is not known before RELAYS is. ${NSR[0]}, ... are the relays' namespaces.
# shellcheck shell=bash

TAG=$(printf '%06x' $((RANDOM << 8 ^ RANDOM)))
NSC=pqvpn-bench-c-$TAG NSS=pqvpn-bench-s-$TAG
OC=10.98.0.1 OS=10.98.0.2 IC=10.99.0.1 IS=10.99.0.2
TARGET=$IS RELAYS=0
NSR=() OL=() OR=()
W=$(mktemp -d)
# Process ids: of all that was started and has not been waited for, and of the daemons by role.
started=()
declare -A daemon=()

available() { :; }
tidy() { :; }

nsx() { local place=$1; shift; ip netns exec "$place" "$@"; }
# Starts a program that clear_stage ends if nobody has waited for it; its process id is in $!. `ip` becomes the program, so
# that the id is the program's own.
start() {
    local place=$1 log=$2
    shift 2
    ip netns exec "$place" "$@" </dev/null >"$W/$log" 2>"$W/$log.errors" &
    started+=($!)
}
# Waits for a started program, and has its status. The signal that ends this script also ends the wait.
finish() {
    local pid status=0 rest=()
    wait "$1" || status=$?
    for pid in "${started[@]}"; do [ "$pid" = "$1" ] || rest+=("$pid"); done
    started=("${rest[@]}")
    return "$status"
}
run() {
    start "$@"
    finish "$!"
}
# Waits up to ten seconds for a command to succeed.
await() {
    local try
    for try in $(seq 2000); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.005
    done
    fail "waited ten seconds for: $*"
}

bg() {
    local role=$1 place=$2
    shift 2
    ip netns exec "$place" "$@" </dev/null >"$W/$role.log" 2>&1 &
    started+=($!)
    daemon[$role]=$!
}
waitlink() { await test -e "/run/netns/$1" && await nsx "$1" test -e "/proc/sys/net/ipv4/conf/$2"; }
tunup() {
    ip -n "$1" address add "$3" dev "$2"
    ip -n "$1" link set "$2" mtu "$4" up
}

fail() {
    echo "bench: $name: $*" >&2
    tail -n 5 "$W"/[cs].log "$W"/r*.log "$W"/*.errors >&2 2>/dev/null || true
    exit 1
}

# What follows from RELAYS, once the peer's file has been read.
plan_stage() {
    local relay
    for relay in $(seq "$RELAYS"); do
        NSR+=("pqvpn-bench-$relay-$TAG") OL+=("10.98.$((relay - 1)).2") OR+=("10.98.$relay.1")
    done
    OS=10.98.$RELAYS.2
    [ "$TARGET" != outer ] || TARGET=$OS
}

raise_stage() {
    local places=("$NSC" "${NSR[@]}" "$NSS") place link
    for place in "${places[@]}"; do
        ip netns add "$place"
        # Neighbour discovery and the like would be foreign traffic.
        nsx "$place" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        ip -n "$place" link set lo up
    done
    for link in $(seq 0 "$RELAYS"); do
        # The near end is called "outer" at the client, the far one at the server, and both by their side at relays.
        local near=right far=left
        [ "$link" -gt 0 ] || near=outer
        [ "$link" -lt "$RELAYS" ] || far=outer
        ip link add "$near" netns "${places[link]}" type veth peer name "$far" netns "${places[link + 1]}"
        tunup "${places[link]}" "$near" "10.98.$link.1/24" 1500
        tunup "${places[link + 1]}" "$far" "10.98.$link.2/24" 1500
    done
}

# Ends what was started here, and whatever else lives in namespaces that were made here; removes those.
clear_stage() {
    local pid place try
    for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for try in $(seq 100); do
        [ -n "$(alive)" ] || break
        sleep 0.02
    done
    for pid in $(alive); do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    started=()
    tidy || true
    for place in "$NSC" "${NSR[@]}" "$NSS"; do ip netns delete "$place" 2>/dev/null || true; done
    rm -rf "$W"
}
alive() { local place; for place in "$NSC" "${NSR[@]}" "$NSS"; do ip netns pids "$place" 2>/dev/null || true; done; }
