# Tor through three relays of a network of its own: one directory authority, which is the first relay, and an exit to the server. TCP
# only. The relays reach each other by routes, as Tor's relays must; the client's circuit is theirs in the row.
RELAYS=3 TARGET=outer
available() {
    command -v tor >/dev/null && command -v tor-gencert >/dev/null || { echo "there is no tor (Debian: tor)"; return 1; }
    command -v nft >/dev/null || { echo "there is no nft (Debian: nftables)"; return 1; }
}
describe() { echo "$(tor --version | sed -n '1s/\.$//p'): a circuit of three hops, TCP only"; }

# The network as Tor's own tests make it: short times, private addresses.
common() { # PLACE ADDRESS
    cat <<END
DataDirectory $W/$1
Log notice stdout
Nickname $1
Address $2
AddressDisableIPv6 1
TestingTorNetwork 1
AssumeReachable 1
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
PathsNeededToBuildCircuits 0.25
END
    # An authority's own fingerprint is not known before it has been started once.
    [ ! -s "$W/authority" ] || cat "$W/authority"
}
relay() { # PLACE ADDRESS
    common "$1" "$2"
    echo "ORPort $2:5000"
    echo "SocksPort 0"
}
prepare() {
    local place key print
    for place in r1 r2 r3 c; do mkdir -m 700 -p "$W/$place/keys"; done
    printf 'x' | (cd "$W/r1/keys" && tor-gencert --create-identity-key -m 12 -a "${OL[0]}:7000" --passphrase-fd 0) 2>&1
    { relay r1 "${OL[0]}"; echo "DirPort ${OL[0]}:7000"; echo "AuthoritativeDirectory 1"; echo "V3AuthoritativeDirectory 1"
      echo "ContactInfo none@example.org"; } >r1.conf
    print=$(tor -f r1.conf --list-fingerprint --DirAuthority "x orport=5000 ${OL[0]}:7000 $(printf '0%.0s' {1..40})" --quiet | awk '{ $1 = ""; print }' | tr -d ' ')
    key=$(sed -n 's/^fingerprint //p' r1/keys/authority_certificate)
    echo "DirAuthority r1 orport=5000 no-v2 v3ident=$key ${OL[0]}:7000 $print" >authority
    { relay r1 "${OL[0]}"; echo "DirPort ${OL[0]}:7000"; echo "AuthoritativeDirectory 1"; echo "V3AuthoritativeDirectory 1"
      echo "ContactInfo none@example.org"; } >r1.conf
    relay r2 "${OL[1]}" >r2.conf
    { relay r3 "${OL[2]}"; echo "ExitRelay 1"; echo "ExitPolicy accept *:*"; } >r3.conf
    { common c "$OC"; echo "SocksPort 9050"; echo "TransPort 9040"; echo "EntryNodes r1"; echo "MiddleNodes r2"
      echo "ExitNodes r3"; echo "StrictNodes 1"; } >c.conf
}
server_up() {
    local relay
    for relay in 1 2 3; do
        nsx "${NSR[relay - 1]}" sysctl -qw net.ipv4.ip_forward=1
        [ "$relay" = 3 ] || ip -n "${NSR[relay - 1]}" route add default via "${OL[relay]}"
        [ "$relay" = 1 ] || for link in $(seq 0 $((relay - 2))); do
            ip -n "${NSR[relay - 1]}" route add "10.98.$link.0/24" via "${OR[relay - 2]}"
        done
        bg "r$relay" "${NSR[relay - 1]}" tor -f "$W/r$relay.conf"
    done
}
client_up() {
    ip -n "$NSC" route add default via "${OL[0]}"
    # The server's addresses have a way to the exit alone.
    nsx "$NSC" nft "add table ip tor; add chain ip tor output { type nat hook output priority -100; };
        add rule ip tor output ip daddr $OS tcp dport 5201 redirect to :9040"
    bg c "$NSC" tor -f "$W/c.conf"
}
# There is no ping through Tor: until its circuit is there.
measure_connect() {
    client_up
    local try
    for try in $(seq 180); do
        grep -q "Bootstrapped 100%" "$W/c.log" && return 0
        sleep 0.5
    done
    fail "Tor found no circuit within 90 seconds"
}
measure_ping() { :; }
report_pings() { :; }
