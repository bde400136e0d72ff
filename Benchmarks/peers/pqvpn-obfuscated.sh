# pqvpn whose datagrams are padded to a few sizes.
VARIANT="obfuscation on" SETTINGS="traffic_obfuscation: { enabled: true }"
. "$(dirname "${BASH_SOURCE[0]}")/pqvpn.sh"
