# wireguard-go at two ends and at one relay between, which opens, routes and seals: hop by hop.
. "$(dirname "${BASH_SOURCE[0]}")/wireguard-go.sh"
RELAYS=1
describe() { echo "$("$WIREGUARD_GO" --version | head -n 1): one relay, hop by hop, ChaCha20-Poly1305, MTU 1420"; }
prepare() {
    local place
    for place in c r s; do (umask 077; wg genkey >"$place.key"; wg pubkey <"$place.key" >"$place.pub"); done
}
server_up() {
    local interface=wgr$TAG
    bg r1 "${NSR[0]}" env LOG_LEVEL=error "$WIREGUARD_GO" --foreground "$interface"
    await test -S "/var/run/wireguard/$interface.sock"
    nsx "${NSR[0]}" wg set "$interface" private-key r.key listen-port 51820 \
        peer "$(cat c.pub)" allowed-ips "$IC/32" peer "$(cat s.pub)" allowed-ips "$IS/32"
    tunup "${NSR[0]}" "$interface" 10.99.0.3/24 1420
    nsx "${NSR[0]}" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 "net.ipv4.conf.$interface.send_redirects=0"
    node s "$NSS" "$IS" r "$IC" endpoint "${OR[0]}:51820"
    # The relay learns by the first datagram where the server is.
    nsx "$NSS" wg set "wgs$TAG" peer "$(cat r.pub)" persistent-keepalive 25
}
client_up() { node c "$NSC" "$IC" r "$IS" endpoint "${OL[0]}:51820"; }
tidy() { rm -f /var/run/wireguard/wg[crs]"$TAG".sock; }
