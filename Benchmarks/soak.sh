# Whether memory stays flat: load for a long time, one kind after the other, and the resident memory of both daemons each
# second; files that one has open more than at the beginning, and errors in the logs. Sourced by scripts/bench-pass after measures.sh.
# shellcheck shell=bash

# The first part of a run fills buffers, which is no leak.
soak_warm_up=0.1

# A line a second: seconds, MB of the client's daemon, MB of the server's.
sample_memory() {
    local began=$SECONDS role line
    while :; do
        line=$((SECONDS - began))
        for role in c s; do line+=" $(awk '$1 == "VmRSS:" { print $2 / 1024 }' "/proc/${daemon[$role]}/status")"; done
        echo "$line"
        sleep 1
    done
}

soak() {
    local end=$((SECONDS + seconds)) total=$seconds sampler role
    declare -A files=()
    [ ${#daemon[@]} -eq 2 ] || fail "has no two daemons whose memory could be sampled"
    for role in c s; do files[$role]=$(open_files "$role"); done
    sample_memory >"$W/memory" &
    sampler=$!
    started+=("$sampler")
    seconds=10
    while [ "$SECONDS" -lt "$end" ]; do
        # Of all that these measure, only the load is wanted.
        check_daemons
        { transfer soak 4 up; transfer soak 4 down; measure_udp 64; transfer soak 1 up; measure_udp 1300; } >/dev/null
        echo "bench: soak: $((total - (end - SECONDS))) of $total seconds, $(tail -n 1 "$W/memory" | cut -d ' ' -f 2-) MB" >&2
    done
    kill "$sampler"
    finish "$sampler" 2>/dev/null || true
    report_slope client 2
    report_slope server 3
    row soak_client_files "more than at first" "$(($(open_files c) - files[c]))"
    row soak_server_files "more than at first" "$(($(open_files s) - files[s]))"
    row soak_errors "lines of the logs" "$(grep -hcE '"level":"(error|critical)"' "$W/c.log" "$W/s.log" | awk '{ all += $1 } END { print all }')"
}

open_files() { find "/proc/${daemon[$1]}/fd" -mindepth 1 | wc -l; }

# Least squares of a column over the time after the warm-up.
report_slope() { # WHO COLUMN
    local first last slope
    read -r first last slope < <(awk -v column="$2" -v part="$soak_warm_up" '
        { time[NR] = $1; value[NR] = $column }
        END {
            begin = int(NR * part) + 1; n = NR - begin + 1
            for (i = begin; i <= NR; i++) { x += time[i]; y += value[i]; xx += time[i] ^ 2; xy += time[i] * value[i] }
            below = n * xx - x * x
            slope = (below > 0) ? (n * xy - x * y) / below * 600 : 0
            print value[begin], value[NR], slope
        }' "$W/memory")
    row "soak_$1_begin" MB "$first"
    row "soak_$1_end" MB "$last"
    row "soak_$1_slope" "MB/10 min" "$slope"
}
