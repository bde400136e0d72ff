# What is measured of a peer once its stage stands; sourced by scripts/bench-pass after stage.sh. Each value is one line of
# JSON on standard output. docs/benchmarks.md says what the values mean.
# shellcheck shell=bash

row() { # NAME UNIT VALUE
    printf '{"group":"peers","peer":"%s","round":%d,"name":"%s","unit":"%s","value":%s}\n' "$name" "$round" "$@"
}

# ---- Accounts. Ticks are 1/100 s.

# Of all processors: busy, and taken by the hypervisor.
machine_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8; exit }' /proc/stat; }
stolen_ticks() { awk '/^cpu / { print $9; exit }' /proc/stat; }
daemon_ticks() {
    local role ticks=0
    for role in "${!daemon[@]}"; do
        ticks=$((ticks + $(sed 's/.*) //' "/proc/${daemon[$role]}/stat" | awk '{ print $12 + $13 }')))
    done
    echo "$ticks"
}
# Of the middle one of three relays: busy, and packets that it has passed on.
relay_account() {
    if [ "$RELAYS" = 3 ] && declare -F relayed_packets >/dev/null; then
        echo "$(sed 's/.*) //' "/proc/${daemon[r2]}/stat" | awk '{ print $12 + $13 }') $(relayed_packets)"
    fi
}
# Of all programs of other sessions, those included that ended and were waited for. The kernel's own threads (children of 2)
# work for whoever sends packets, and are left out.
foreign_ticks() {
    local own
    own=$(sed 's/.*) //' "/proc/$$/stat" | awk '{ print $4 }')
    # Processes end meanwhile, and are no failure.
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | sed 's/.*) //' |
        awk -v own="$own" '$2 != 2 && $4 != own { ticks += $12 + $13 + $14 + $15 } END { print ticks + 0 }'
}

# The larger one of the two daemons: VmRSS or VmHWM, in MB.
memory() {
    local role
    for role in "${!daemon[@]}"; do awk -v field="$1:" '$1 == field { print $2 / 1024 }' "/proc/${daemon[$role]}/status"; done |
        sort -g | tail -n 1
}
report_memory() { # NAME FIELD
    local megabytes
    megabytes=$(memory "$2")
    [ -z "$megabytes" ] || row "$1" MB "$megabytes"
}

# ---- Time.

measure_connect() {
    local probe start
    start "$NSC" answer "$BIN/first-answer" "$TARGET" 20
    probe=$!
    await grep -q ready "$W/answer"
    start=${EPOCHREALTIME/[.,]/}
    client_up
    finish "$probe" || fail "no ping was answered within 20 seconds"
    [ ${#daemon[@]} -gt 0 ] || return 0
    row connect ms "$(calculate "($(tail -n 1 "$W/answer") - $start) / 1000")"
    if declare -F handshake_milliseconds >/dev/null; then row handshake ms "$(handshake_milliseconds)"; fi
}

# Percentiles of all pings that were sent, in a file of ping's output; one without an answer counts as a whole second.
report_pings() { # NAME FILE
    local sent sorted
    sent=$(awk '/packets transmitted/ { print $1 }' "$2")
    [ "${sent:-0}" -gt 0 ] || fail "no pings were sent: $(tail -n 1 "$2")"
    sorted=$(sed -n 's/.*time=\([0-9.]*\).*/\1/p' "$2" | sort -g)
    read -r middle late lost < <(awk -v sent="$sent" '{ time[NR] = $1 }
        function at(part, place) { place = int(sent * part) + 1; return place <= NR && NR > 0 ? time[place] : 1000 }
        END { print at(0.5), at(0.99), (sent - NR) / sent * 100 }' <<<"$sorted")
    row "$1_p50" ms "$middle"
    row "$1_p99" ms "$late"
    row "$1_lost" % "$lost"
}

measure_ping() {
    run "$NSC" ping.idle ping -n -i 0.002 -c 1000 -W 1 "$TARGET" || true
    report_pings ping "$W/ping.idle"
}

# ---- TCP.

# One run of iperf3, whose server is a fresh one; with pings meanwhile if a name for them is given.
transfer() { # NAME STREAMS UP-OR-DOWN [PINGS]
    local streams=$2 direction=() server client pings='' before after bytes relay
    [ "$3" = up ] || direction=(--reverse)
    start "$NSS" server iperf3 --server --one-off --forceflush
    server=$!
    await grep -q "listening on" "$W/server"
    read -r -a relay <<<"$(relay_account)"
    before=("$(daemon_ticks)" "$(machine_ticks)")
    start "$NSC" client iperf3 --client "$TARGET" --time "$seconds" --parallel "$streams" "${direction[@]}" --json
    client=$!
    if [ $# -gt 3 ]; then
        # Not at its beginning, and not past its end.
        sleep 0.5
        start "$NSC" ping.load ping -n -i 0.005 -c "$(calculate "int(($seconds - 0.8) * 200)" | sed 's/\..*//')" -W 1 "$TARGET"
        pings=$!
        sleep "$(calculate "$seconds / 2 - 0.5")"
        report_memory rss_load VmRSS
    fi
    finish "$client" || fail "iperf3: $(jq -r '.error // "no word"' "$W/client")"
    after=("$(daemon_ticks)" "$(machine_ticks)")
    read -r -a relay <<<"${relay[*]} $(relay_account)"
    finish "$server" || true
    if [ -n "$pings" ]; then
        finish "$pings" || true
        report_pings "$4" "$W/ping.load"
    fi
    bytes=$(jq '.end.sum_received.bytes' "$W/client")
    [ "$bytes" -gt 0 ] || fail "iperf3 moved nothing"
    row "$1" Mbit/s "$(jq '.end.sum_received.bits_per_second / 1e6' "$W/client")"
    row "$1_retransmits" "" "$(jq '.end.sum_sent.retransmits // 0' "$W/client")"
    [ ${#daemon[@]} -eq 0 ] || row "$1_daemons" s/GB "$(calculate "(${after[0]} - ${before[0]}) / 100 / ($bytes / 1e9)")"
    [ ${#relay[@]} -lt 4 ] || row "$1_relay" µs "$(calculate "(${relay[2]} - ${relay[0]}) * 10000 / (${relay[3]} - ${relay[1]})")"
    row "$1_machine" s/GB "$(calculate "(${after[1]} - ${before[1]}) / 100 / ($bytes / 1e9)")"
}

# ---- UDP.

measure_udp() { # BYTES
    local values=()
    declare -A value=()
    run "$NSC" meter "$BIN/packet-meter" "$NSC" "$NSS" "$TARGET" "$1" || fail "packet-meter: $(cat "$W/meter.errors")"
    while read -r key number; do value[$key]=$number; done <"$W/meter"
    [ "${value[best_pps]}" -gt 0 ] || fail "no rate of $1-byte packets came through with at most 0.5 % loss"
    row "udp$1_best" packets/s "${value[best_pps]}"
    row "udp$1_overload" packets/s "${value[overload_pps]}"
    row "udp$1_overload_ratio" "" "$(calculate "${value[overload_pps]} / ${value[best_pps]}")"
    row "udp$1_reordered" packets "${value[reordered]}"
}

# ---- All of them.

# A daemon that has ended is a zombie until clear_stage waits for it.
check_daemons() {
    local role
    for role in "${!daemon[@]}"; do
        grep -q '^State:[[:space:]]*[^Z]' "/proc/${daemon[$role]}/status" || fail "the daemon of role $role has ended"
    done
}

measure() { # WHICH...
    local which
    for which in "$@"; do
        check_daemons
        case "$which" in
        ping) measure_ping ;;
        tcp1) transfer tcp1_up 1 up; transfer tcp1_down 1 down ;;
        tcp4) transfer tcp4_up 4 up ping_load; transfer tcp4_down 4 down ;;
        flood) measure_flood ;;
        udp64 | udp1300) measure_udp "${which#udp}" ;;
        esac
    done
    check_daemons
}
