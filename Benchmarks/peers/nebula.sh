# Debian's nebula, with the batches that it can have.
available() { command -v nebula >/dev/null && command -v nebula-cert >/dev/null || { echo "there is no nebula"; return 1; }; }
describe() { echo "nebula $(nebula -version | sed 's/^Version: *//'): AES-256-GCM, batch 64, MTU 1420"; }
node() { # PLACE INNER IS-LIGHTHOUSE LIGHTHOUSES
    nebula-cert sign -name "$1" -ip "$2/24" >/dev/null
    cat >"$1.yaml" <<END
pki: { ca: $W/ca.crt, cert: $W/$1.crt, key: $W/$1.key }
static_host_map: { "$IS": ["$OS:4242"] }
lighthouse: { am_lighthouse: $3, hosts: [$4] }
listen: { host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 8388608, write_buffer: 8388608 }
cipher: aes
punchy: { punch: false }
tun: { dev: nebula, mtu: 1420, tx_queue: 1000 }
logging: { level: warning }
firewall:
  outbound: [{ port: any, proto: any, host: any }]
  inbound: [{ port: any, proto: any, host: any }]
END
}
prepare() {
    nebula-cert ca -name bench >/dev/null
    node c "$IC" false "\"$IS\""
    node s "$IS" true ""
}
server_up() { bg s "$NSS" nebula -config "$W/s.yaml"; waitlink "$NSS" nebula; }
client_up() { bg c "$NSC" nebula -config "$W/c.yaml"; }
