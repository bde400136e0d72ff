# pqvpn with one worker, whatever the machine has.
VARIANT="one worker" NETWORK=", workers: 1"
. "$(dirname "${BASH_SOURCE[0]}")/pqvpn.sh"
