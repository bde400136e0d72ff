# One pqvpn daemon at each end: a peer for a benchmark that gives namespaces $NSC and $NSS, outer addresses $OC and $OS, inner
# addresses $IC and $IS, a directory $W, and the functions bg, nsx and waitlink. The server knows no address to call.
BINARY=${PQVPN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.build/release/pqvpn}
describe() { echo "$("$BINARY" --version): AES-256-GCM, one worker, MTU 1420"; }
node() { # PLACE OUTER INNER OTHER OTHER-INNER [OTHER-OUTER]
    "$BINARY" peers add "$W/$4/identity.pub" --name "$4" --known-peers "$W/$1/known_peers.yaml" >/dev/null
    local id
    id=$("$BINARY" peerid "$W/$4/identity.pub" --json | sed -n 's/.*"peer_id":"\([0-9a-f]*\)".*/\1/p')
    cat >"$W/$1.yaml" <<END
keys: { runtime_temp_keys: false, dir: $1 }
security: { known_peers_file: $1/known_peers.yaml }
network: { bind_host: $2, listen_port: 9000 }
tunnel: { interface: pqvpn0, addresses: [$3/24], mtu: 1420 }
peers:
  - name: $4
    peer_id: "$id"
    ${6:+endpoint: \"$6:9000\"}
    allowed_ips: [$5/32]
END
}
prepare() {
    local place
    for place in c s; do "$BINARY" keygen --out "$W/$place" --nickname "$place" >/dev/null; done
    node c "$OC" "$IC" s "$IS" "$OS"
    node s "$OS" "$IS" c "$IC"
}
server_up() { bg s "$NSS" "$BINARY" run --config "$W/s.yaml"; waitlink "$NSS" pqvpn0; }
client_up() { bg c "$NSC" "$BINARY" run --config "$W/c.yaml"; waitlink "$NSC" pqvpn0; }
