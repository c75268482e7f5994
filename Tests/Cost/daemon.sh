#!/bin/bash
# What a request costs in a daemon: instructions and allocations, which callgrind counts, as the
# difference of two runs. The requests are those of mod_swiftgi, one after the other on a connection.
#
#     daemon.sh LAUNCHER LIBRARY [REQUESTS]
#
# Needs valgrind and perl. As root it serves as www-data, since an application does not run as root.
set -euo pipefail
for tool in valgrind perl; do
    command -v "$tool" > /dev/null || { echo "daemon.sh: needs $tool" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
requests=${3:-1000}
work=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -KILL "$pid" 2> /dev/null || true; rm -rf "$work"' EXIT
cp "$1" "$work/swiftgi-run"
# valgrind does not understand all that debuggers are told.
strip --strip-debug -o "$work/library.so" "$2"
chmod 755 "$work" "$work"/*
become=()
if [[ $EUID -eq 0 ]]; then
    mkdir -m 700 "$work/own"
    chown www-data "$work/own"
    become=(setpriv --reuid=www-data --regid=www-data --clear-groups)
else
    mkdir "$work/own"
fi

# Instructions and allocations of a server that answers so many requests.
count() {
    rm -f "$work/own"/*
    "${become[@]}" valgrind --tool=callgrind --callgrind-out-file="$work/own/out" "$work/swiftgi-run" \
        --fastcgi "unix:$work/own/socket" --threads 1 "$work/library.so" > "$work/log" 2>&1 &
    pid=$!
    if ! perl "$here/requests.pl" "$work/own/socket" "$1"; then
        cat "$work/log" >&2
        exit 1
    fi
    kill -TERM "$pid"
    wait "$pid" 2> /dev/null || true
    pid=
    awk '
        # A name comes with its number the first time, later on the number stands for it.
        function name_of(text) {
            number = text
            sub(/ .*/, "", number)
            if (text ~ / /) names[number] = substr(text, length(number) + 2)
            return names[number]
        }
        /^fn=/ { name_of(substr($0, 4)) }
        /^cfn=/ { called = name_of(substr($0, 5)) }
        /^calls=/ && called ~ /^(malloc|calloc|realloc|aligned_alloc|posix_memalign)$/ {
            split(substr($0, 7), parts, " ")
            allocations += parts[1]
        }
        /^(summary|totals): / && !instructions { instructions = $2 }
        END { printf "%d %d\n", instructions, allocations }' "$work/own/out"
}

read -r few_instructions few_allocations <<< "$(count 200)"
read -r many_instructions many_allocations <<< "$(count $((requests + 200)))"
echo "$(((many_instructions - few_instructions) / requests)) instructions each"
awk -v difference="$((many_allocations - few_allocations))" -v requests="$requests" \
    'BEGIN { printf "%.2f allocations each\n", difference / requests }'
