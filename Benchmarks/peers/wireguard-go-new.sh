# A newer wireguard-go than Debian's, if WIREGUARD_GO_NEW names one: it has the offloads that Debian's lacks.
WIREGUARD_GO=${WIREGUARD_GO_NEW:-none}
. "$(dirname "${BASH_SOURCE[0]}")/wireguard-go.sh"
available() {
    [ -x "$WIREGUARD_GO" ] || { echo "WIREGUARD_GO_NEW names no program"; return 1; }
    command -v wg >/dev/null || { echo "there is no wg (Debian: wireguard-tools)"; return 1; }
}
