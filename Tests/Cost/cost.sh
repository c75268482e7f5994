#!/bin/sh
# What a request costs in an application library: allocations, and instructions by
# callgrind as the difference of two runs, which is exact and repeatable.
#
#     cost.sh LIBRARY [PATH_INFO [REQUESTS]]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -Wall -Wextra -Werror -fno-builtin-malloc -rdynamic -I "$here/../../Sources/CSwiftGI/include" \
    -o "$work/cost" "$here/cost.c" -ldl
# valgrind does not understand all that debuggers are told.
strip --strip-debug -o "$work/library.so" "$1"
"$work/cost" "$work/library.so" "${3:-1000000}" "${2:-}"
command -v valgrind > /dev/null || exit 0
instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$work/out" "$work/cost" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
few=$(instructions "$work/library.so" 1000 "${2:-}")
many=$(instructions "$work/library.so" 3000 "${2:-}")
echo "$(((many - few) / 2000)) instructions each"
