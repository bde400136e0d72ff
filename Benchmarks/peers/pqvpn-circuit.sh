# A circuit of pqvpn through two relays to an exit, which hands on to the server in clear: three layers, of which each relay takes
# off one.
. "$(dirname "${BASH_SOURCE[0]}")/pqvpn-relay.sh"
RELAYS=3 TARGET=outer VARIANT="a circuit of three hops" WANTED="relay: { enabled: true }"
available() {
    [ -x "$BINARY" ] || { echo "$BINARY is not built (make build)"; return 1; }
    echo "$WANTED" >"$W/probe.yaml"
    "$BINARY" config check "$W/probe.yaml" >/dev/null 2>&1 || { echo "this pqvpn has no relays"; return 1; }
    command -v nft >/dev/null || { echo "there is no nft (Debian: nftables)"; return 1; }
}
describe() { echo "$("$BINARY" version): AES-256-GCM, three layers, two relays and an exit"; }
id() { "$BINARY" peerid "$W/$1/identity.pub" --json | sed -n 's/.*"peer_id":"\([0-9a-f]*\)".*/\1/p'; }
common() { # PLACE
    cat <<END
peer: { nickname: $1 }
keys: { runtime_temp_keys: false, dir: $1 }
security: { known_peers_file: $1/known_peers.yaml }
network: { listen_port: 9000$NETWORK }
control: { socket: $W/$1.sock }
END
}
prepare() {
    local place
    for place in c r1 r2 r3; do "$BINARY" keygen --out "$W/$place" --nickname "$place" >/dev/null; done
    for place in r1 r2 r3; do "$BINARY" peers add "$W/$place/identity.pub" --name "$place" --known-peers "$W/c/known_peers.yaml" >/dev/null; done
    {
        common c
        cat <<END
tunnel: { interface: pqvpn0 }
peers:
  - { name: r1, peer_id: "$(id r1)", endpoint: "${OL[0]}:9000" }
  - { name: r2, peer_id: "$(id r2)" }
  - { name: r3, peer_id: "$(id r3)", exit: true, via: [r1, r2], allowed_ips: [$OS/32] }
END
    } >c.yaml
    { common r1; echo "tunnel: { enabled: false }"; echo "relay: true"; meet r1 c "" "" r2 "" "${OL[1]}"; } >r1.yaml
    { common r2; echo "tunnel: { enabled: false }"; echo "relay: true"; meet r2 r1 "" "" r3 "" "${OL[2]}"; } >r2.yaml
    {
        common r3
        echo "tunnel: { interface: pqvpn0 }"
        echo "relay: { enabled: true, exit_policy: [\"accept $OS/32\"] }"
        echo "exit: { networks: [10.66.0.0/16], new_connections_per_second: 0, connections: 0 }"
        meet r3 r2 "" ""
    } >r3.yaml
}
server_up() {
    local relay
    nsx "${NSR[2]}" sysctl -qw net.ipv4.ip_forward=1
    for relay in 3 2 1; do
        bg "r$relay" "${NSR[relay - 1]}" "$BINARY" run --config "$W/r$relay.yaml"
        await grep -q '"node.listening"' "$W/r$relay.log"
    done
}
relayed_packets() { "$BINARY" circuits --json --socket "$W/r2.sock" | jq '.relay.packets'; }
