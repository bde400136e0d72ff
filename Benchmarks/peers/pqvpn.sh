# One pqvpn daemon at each end. It also runs in other benchmarks that give $NSC, $NSS, $OC, $OS, $IC, $IS, $W, bg, nsx and
# waitlink as ../stage.sh does. The server knows no address to call. PQVPN names another binary. A variant is a file that
# sets VARIANT and SETTINGS (YAML of whole sections, or of keys: NETWORK, for `network`) and sources this one.
BINARY=${PQVPN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.build/release/pqvpn}
VARIANT=${VARIANT:-"as it comes"} SETTINGS=${SETTINGS:-} NETWORK=${NETWORK:-}
available() {
    [ -x "$BINARY" ] || { echo "$BINARY is not built (make build)"; return 1; }
    printf 'network: { %s }\n%s\n' "${NETWORK#, }" "$SETTINGS" >"$W/probe.yaml"
    "$BINARY" config check "$W/probe.yaml" >/dev/null 2>&1 || { echo "this pqvpn has no such setting: ${NETWORK#, }$SETTINGS"; return 1; }
}
describe() { echo "$("$BINARY" version): AES-256-GCM, MTU 1420, $VARIANT"; }
node() { # PLACE OUTER INNER OTHER OTHER-INNER [OTHER-OUTER]
    "$BINARY" peers add "$W/$4/identity.pub" --name "$4" --known-peers "$W/$1/known_peers.yaml" >/dev/null
    local id
    id=$("$BINARY" peerid "$W/$4/identity.pub" --json | sed -n 's/.*"peer_id":"\([0-9a-f]*\)".*/\1/p')
    cat >"$W/$1.yaml" <<END
keys: { runtime_temp_keys: false, dir: $1 }
security: { known_peers_file: $1/known_peers.yaml }
network: { bind_host: $2, listen_port: 9000$NETWORK }
tunnel: { interface: pqvpn0, addresses: [$3/24], mtu: 1420 }
$SETTINGS
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
# The initiator's own word, from its first datagram to the session, out of its log.
handshake_milliseconds() {
    sed -n '/"session.established"/s/.*"dur_s":"\{0,1\}\([0-9.]*\).*/\1/p' "$W/c.log" | head -n 1 | awk '{ print $1 * 1000 }'
}
# For ../flood.sh.
responder_id() { "$BINARY" peerid "$W/s/identity.pub" --json | sed -n 's/.*"peer_id":"\([0-9a-f]*\)".*/\1/p'; }
# Until its AEAD fails, such a message costs one decapsulation and one multiplication on the curve.
messages_per_second() {
    "$BINARY" selftest --json | jq --argjson cores "$(nproc)" '[.primitives[].nanoseconds] | add
        | ($cores * 1e9 / (.derive + .decapsulate)) | floor'
}
newcomer() {
    mkdir "$W/n$1"
    "$BINARY" keygen --out "$W/n$1/keys" --nickname "n$1" >/dev/null
    "$BINARY" peers add "$W/n$1/keys/identity.pub" --known-peers "$W/s/known_peers.yaml" >/dev/null
    "$BINARY" peers add "$W/s/identity.pub" --name s --known-peers "$W/n$1/known_peers.yaml" >/dev/null
    cat >"$W/n$1.yaml" <<END
peer: { nickname: n$1 }
keys: { runtime_temp_keys: false, dir: n$1/keys }
security: { known_peers_file: n$1/known_peers.yaml }
network: { bind_host: $2, listen_port: 9000 }
tunnel: { enabled: false }
control: { enabled: false }
peers: [{ name: s, peer_id: "$(responder_id)", endpoint: "$OS:9000", allowed_ips: [] }]
END
}
newcomer_up() { exec ip netns exec "$NSC" "$BINARY" run --config "$W/n$1.yaml" </dev/null >"$W/n$1.log" 2>&1; }
newcomer_seconds() { sed -n '/"session.established"/s/.*"dur_s":"\{0,1\}\([0-9.]*\).*/\1/p' "$W/n$1.log" | head -n 1; }
