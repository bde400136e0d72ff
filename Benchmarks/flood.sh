# What a flood of handshakes leaves to those who were there before and to those who come; sourced by scripts/bench-pass after
# measures.sh. An attacker of 65,536 addresses has hoarded cookies and sends ten times as many S1 messages as all processors
# together could look at (Benchmarks/tools/handshake-flood.c). For peers whose file defines
#   responder_id        the server's peer_id, 64 hexadecimal digits
#   messages_per_second how many S1 messages of the attacker's kind all processors together can look at
#   newcomer NUMBER ADDRESS   makes an identity that the server knows, and prepares a client that calls from that address
#   newcomer_up NUMBER        starts it
#   newcomer_seconds NUMBER   how long its handshake took; nothing while it has none
# shellcheck shell=bash

newcomers=20
sink=9999

measure_flood() {
    local rate number goodput=() flooder came=0 took
    declare -F responder_id >/dev/null || return 0
    ip -n "$NSC" route add local 10.97.0.0/16 dev lo
    ip -n "$NSS" route add 10.97.0.0/16 via "$OC"
    # As many come while there is no flood: twenty programs that start take their own share of the processors.
    for number in $(seq "$((2 * newcomers))"); do
        ip -n "$NSC" address add "10.98.1.$number/32" dev outer
        newcomer "$number" "10.98.1.$number"
    done
    ip -n "$NSS" route add 10.98.1.0/24 via "$OC"
    # The server looks at its pins every five seconds.
    sleep 7
    rate=$(($(messages_per_second) * 10))
    mkfifo "$W/orders"
    ip netns exec "$NSC" "$BIN/handshake-flood" "$OS" 9000 "$(responder_id)" 10.97 "$((rate * 14))" "$rate" \
        <"$W/orders" >"$W/flood" 2>"$W/flood.errors" &
    flooder=$!
    started+=("$flooder")
    exec 7>"$W/orders"
    # Somewhere to send the same datagrams to, so that what sending and receiving them costs is in both figures.
    start "$NSS" sink "$BIN/handshake-flood" --sink "$sink"
    local try
    for try in $(seq 600); do
        grep -q hoarded "$W/flood" && break
        sleep 0.1
    done
    grep -q hoarded "$W/flood" || fail "the attacker got no cookies: $(cat "$W/flood.errors")"
    come_from "$((newcomers + 1))"
    under_flood "$sink" quiet
    come_from 1
    under_flood 9000 flooded
    row flood_quiet Mbit/s "${goodput[0]}"
    row flood_goodput Mbit/s "${goodput[1]}"
    row flood_goodput_ratio "" "$(calculate "${goodput[1]} / ${goodput[0]}")"
    row flood_messages messages/s "$(sed -n 's/^sent \([0-9]*\) messages, [0-9]* datagrams, \([0-9.]*\) .*/\1 \2/p' "$W/flood" | tail -n 1 | awk '{ print $1 / $2 }')"
    row flood_answers "" "$(sed -n 's/.* \([0-9]*\) answers$/\1/p' "$W/flood" | tail -n 1)"
    sleep 2
    for number in $(seq "$newcomers"); do
        took=$(newcomer_seconds "$number")
        if [ -n "$took" ] && awk "BEGIN { exit !($took <= 5) }"; then came=$((came + 1)); fi
        if [ -n "$took" ]; then echo "$took"; fi
    done >"$W/newcomers"
    came=$(awk '$1 <= 5' "$W/newcomers" | wc -l)
    row flood_newcomers "" "$(calculate "$came / $newcomers")"
    row flood_newcomer_p50 ms "$(sort -g "$W/newcomers" | awk '{ all[NR] = $1 } END { print (NR ? all[int((NR + 1) / 2)] * 1000 : 0) }')"
    exec 7>&-
    kill "$flooder" 2>/dev/null || true
}

# Newcomers from a number on, over the time of the next flood and not at its first moment.
come_from() { # NUMBER
    local number
    for number in $(seq "$newcomers"); do
        (sleep "$(calculate "1 + $number * 0.3")"; newcomer_up "$(($1 + number - 1))") &
        started+=("$!")
    done
}

# One TCP stream while datagrams go to a port; adds its Mbit/s to `goodput`.
under_flood() { # PORT NAME
    local server client
    start "$NSS" server iperf3 --server --one-off --forceflush
    server=$!
    await grep -q "listening on" "$W/server"
    echo "$1 10" >&7
    sleep 1
    start "$NSC" client iperf3 --client "$TARGET" --time 8 --json
    client=$!
    finish "$client" || fail "iperf3 under a flood: $(jq -r '.error // "no word"' "$W/client")"
    finish "$server" || true
    sleep 2
    goodput+=("$(jq '.end.sum_received.bits_per_second / 1e6' "$W/client")")
}
