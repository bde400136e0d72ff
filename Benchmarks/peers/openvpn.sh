# Debian's OpenVPN over UDP, in its own process: no kernel module.
available() {
    command -v openvpn >/dev/null || { echo "there is no openvpn"; return 1; }
    command -v openssl >/dev/null || { echo "there is no openssl, which makes its certificates"; return 1; }
}
describe() { echo "OpenVPN $(openvpn --version | awk 'NR == 1 { print $2 }'): UDP, AES-256-GCM, no DCO, MTU 1420"; }
node() { # PLACE OTHER INNER OTHER-INNER ROLE...
    local place=$1 other=$2 inner=$3 remote=$4
    shift 4
    {
        printf '%s\n' "dev vpn" "dev-type tun" "proto udp" "port 1194" "tun-mtu 1420" "txqueuelen 1000" \
            "cipher AES-256-GCM" "data-ciphers AES-256-GCM" "disable-dco" "sndbuf 4194304" "rcvbuf 4194304" "fast-io" \
            "keepalive 10 60" "verb 1" "auth-nocache" "ifconfig $inner $remote" "cert $W/$place.crt" "key $W/$place.key" \
            "peer-fingerprint $(openssl x509 -in "$other.crt" -noout -fingerprint -sha256 | cut -d = -f 2)" "$@"
    } >"$place.conf"
}
prepare() {
    local place
    for place in c s; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$place.key" -out "$place.crt" -days 2 \
            -subj "/CN=$place" 2>/dev/null
    done
    node c s "$IC" "$IS" tls-client "remote $OS"
    node s c "$IS" "$IC" tls-server "dh none"
}
server_up() { bg s "$NSS" openvpn --config "$W/s.conf"; waitlink "$NSS" vpn; }
client_up() { bg c "$NSC" openvpn --config "$W/c.conf"; }
