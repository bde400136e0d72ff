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
    for place in c 1 2 3; do "$BINARY" keygen --out "$W/$place" --nickname "$place" >/dev/null; done
    for place in 1 2 3; do "$BINARY" peers add "$W/$place/identity.pub" --name "$place" --known-peers "$W/c/known_peers.yaml" >/dev/null; done
    {
        common c
        cat <<END
tunnel: { interface: pqvpn0 }
peers:
  - { name: "1", peer_id: "$(id 1)", endpoint: "${OL[0]}:9000" }
  - { name: "2", peer_id: "$(id 2)" }
  - { name: "3", peer_id: "$(id 3)", exit: true, via: ["1", "2"], allowed_ips: [$OS/32] }
END
    } >c.yaml
    { common 1; echo "tunnel: { enabled: false }"; echo "relay: true"; meet 1 c "" "" 2 "" "${OL[1]}"; } >1.yaml
    { common 2; echo "tunnel: { enabled: false }"; echo "relay: true"; meet 2 1 "" "" 3 "" "${OL[2]}"; } >2.yaml
    {
        common 3
        echo "tunnel: { interface: pqvpn0 }"
        echo "relay: { enabled: true, exit_policy: [\"accept $OS/32\"] }"
        echo "exit: { new_connections_per_second: 0, connections: 0 }"
        meet 3 2 "" ""
    } >3.yaml
}
server_up() {
    local relay
    for relay in 3 2 1; do
        bg "r$relay" "${NSR[relay - 1]}" "$BINARY" run --config "$W/$relay.yaml"
        await grep -q '"node.listening"' "$W/r$relay.log"
    done
}
relayed_packets() { "$BINARY" circuits --json --socket "$W/2.sock" | jq '.relay.packets'; }
