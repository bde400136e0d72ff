# An onion of wireguard-go: the client holds three tunnels, each in the one before, to three relays, of which the last passes on
# to the server in clear. Each layer takes 80 bytes.
. "$(dirname "${BASH_SOURCE[0]}")/wireguard-go.sh"
RELAYS=3 TARGET=outer
describe() { echo "$("$WIREGUARD_GO" --version | head -n 1): three nested tunnels, ChaCha20-Poly1305, MTU 1260"; }
prepare() {
    local relay side
    for relay in 1 2 3; do
        for side in near far; do (umask 077; wg genkey >"$side$relay.key"; wg pubkey <"$side$relay.key" >"$side$relay.pub"); done
    done
}
layer() { # SIDE RELAY ROLE NAMESPACE ADDRESS OTHER-SIDE WG-ARGUMENTS...: one end of the tunnel to a relay
    local side=$1 relay=$2 role=$3 namespace=$4 address=$5 other=$6 interface=wg${1:0:1}$2$TAG
    shift 6
    bg "$role" "$namespace" env LOG_LEVEL=error "$WIREGUARD_GO" --foreground "$interface"
    await test -S "/var/run/wireguard/$interface.sock"
    local first=()
    [ "$1" != listen-port ] || { first=("$1" "$2"); shift 2; }
    nsx "$namespace" wg set "$interface" private-key "$side$relay.key" "${first[@]}" peer "$(cat "$other$relay.pub")" "$@"
    tunup "$namespace" "$interface" "$address/24" $((1500 - 80 * relay))
}
server_up() {
    local relay
    for relay in 1 2 3; do
        layer far "$relay" "r$relay" "${NSR[relay - 1]}" "10.99.$relay.2" near \
            listen-port 51820 allowed-ips "10.99.$relay.1/32"
        nsx "${NSR[relay - 1]}" sysctl -qw net.ipv4.ip_forward=1
    done
    # Answers go back into the tunnel that the question came from.
    ip -n "${NSR[1]}" route add 10.99.1.0/24 via "${OR[0]}"
    ip -n "${NSR[2]}" route add 10.99.2.0/24 via "${OR[1]}"
    ip -n "$NSS" route add 10.99.3.0/24 via "${OR[2]}"
}
client_up() {
    local relay
    for relay in 1 2 3; do
        layer near "$relay" "c$relay" "$NSC" "10.99.$relay.1" far allowed-ips 0.0.0.0/0 endpoint "${OL[relay - 1]}:51820"
    done
    ip -n "$NSC" route add "${OL[1]}/32" dev "wgn1$TAG"
    ip -n "$NSC" route add "${OL[2]}/32" dev "wgn2$TAG"
    ip -n "$NSC" route add "$TARGET/32" dev "wgn3$TAG"
}
tidy() { rm -f /var/run/wireguard/wg[nf][123]"$TAG".sock; }
