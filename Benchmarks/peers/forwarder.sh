# tools/forwarder.c at each end: offloads and AES-256-GCM, no protocol. The practical limit.
describe() { echo "forwarder: no protocol, all offloads, $("$BIN/forwarder" --version), one thread a direction, MTU 1420"; }
prepare() { :; }
server_up() { bg s "$NSS" "$BIN/forwarder" tun "$OS" "$OC" 5000; waitlink "$NSS" tun; tunup "$NSS" tun "$IS/24" 1420; }
client_up() { bg c "$NSC" "$BIN/forwarder" tun "$OC" "$OS" 5000; waitlink "$NSC" tun; tunup "$NSC" tun "$IC/24" 1420; }
