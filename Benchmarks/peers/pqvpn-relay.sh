# pqvpn at two ends and at one relay between, which opens, routes and seals: hop by hop, what a relay by circuits need not do.
. "$(dirname "${BASH_SOURCE[0]}")/pqvpn.sh"
RELAYS=1 VARIANT="one relay, hop by hop"
meet() { # PLACE PEER...: makes the peers known at a place, and prints their entries; an entry is NAME INNER [OUTER]
    local place=$1 name inner outer
    shift
    echo "peers:"
    while [ $# -gt 0 ]; do
        name=$1 inner=$2 outer=$3
        shift 3
        "$BINARY" peers add "$W/$name/identity.pub" --name "$name" --known-peers "$W/$place/known_peers.yaml" >/dev/null
        cat <<END
  - name: $name
    peer_id: "$("$BINARY" peerid "$W/$name/identity.pub" --json | sed -n 's/.*"peer_id":"\([0-9a-f]*\)".*/\1/p')"
    ${outer:+endpoint: \"$outer:9000\"}
    allowed_ips: [${inner:+$inner/32}]
END
    done
}
begin() { # PLACE INNER
    cat <<END
keys: { runtime_temp_keys: false, dir: $1 }
security: { known_peers_file: $1/known_peers.yaml }
network: { listen_port: 9000$NETWORK }
tunnel: { interface: pqvpn0, addresses: [$2/24], mtu: 1420 }
END
}
prepare() {
    local place
    for place in c r s; do "$BINARY" keygen --out "$W/$place" --nickname "$place" >/dev/null; done
    { begin c "$IC"; meet c r "$IS" "${OL[0]}"; } >c.yaml
    { begin r 10.99.0.3; meet r c "$IC" "" s "$IS" "$OS"; } >r.yaml
    { begin s "$IS"; meet s r "$IC" ""; } >s.yaml
}
server_up() {
    bg s "$NSS" "$BINARY" run --config "$W/s.yaml"
    waitlink "$NSS" pqvpn0
    bg r1 "${NSR[0]}" "$BINARY" run --config "$W/r.yaml"
    waitlink "${NSR[0]}" pqvpn0
    nsx "${NSR[0]}" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.pqvpn0.send_redirects=0
}
