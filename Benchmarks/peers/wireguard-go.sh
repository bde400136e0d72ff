# Debian's wireguard-go, or that of $WIREGUARD_GO. Its control sockets are outside of network namespaces: names have a tag.
WIREGUARD_GO=${WIREGUARD_GO:-$(command -v wireguard-go || true)}
available() {
    [ -x "$WIREGUARD_GO" ] || { echo "there is no wireguard-go"; return 1; }
    command -v wg >/dev/null || { echo "there is no wg (Debian: wireguard-tools)"; return 1; }
}
describe() { echo "$("$WIREGUARD_GO" --version | head -n 1): ChaCha20-Poly1305, MTU 1420"; }
prepare() {
    local place
    for place in c s; do (umask 077; wg genkey >"$place.key"; wg pubkey <"$place.key" >"$place.pub"); done
}
node() { # PLACE NAMESPACE INNER OTHER OTHER-INNER PORT-OR-ENDPOINT...
    local place=$1 namespace=$2 inner=$3 other=$4 allowed=$5 interface=wg$1$TAG
    shift 5
    bg "$place" "$namespace" env LOG_LEVEL=error "$WIREGUARD_GO" --foreground "$interface"
    await test -S "/var/run/wireguard/$interface.sock"
    if [ "$1" = listen-port ]; then
        nsx "$namespace" wg set "$interface" private-key "$place.key" listen-port "$2" peer "$(cat "$other.pub")" allowed-ips "$allowed/32"
    else
        nsx "$namespace" wg set "$interface" private-key "$place.key" peer "$(cat "$other.pub")" allowed-ips "$allowed/32" endpoint "$2"
    fi
    tunup "$namespace" "$interface" "$inner/24" 1420
}
server_up() { node s "$NSS" "$IS" c "$IC" listen-port 51820; }
client_up() { node c "$NSC" "$IC" s "$IS" endpoint "$OS:51820"; }
tidy() { rm -f "/var/run/wireguard/wgc$TAG.sock" "/var/run/wireguard/wgs$TAG.sock"; }
