#!/bin/bash
# Builds each decoder with libFuzzer and AddressSanitizer and feeds it for a while, beginning with the
# corpus in the tree. What breaks it is left in .build/fuzz.
#   SECONDS_EACH  how long each is fed (60)
#   FUZZERS       which: FastCGI SCGI NameValuePairs Variables
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-60}
servers=Sources/SwiftGIServers
sources=("$servers"/Wire/{Bytes,FastCGI,FastCGIDecoder,NameValuePairs,SCGIDecoder,WireError}.swift "$servers"/Variables/*.swift)
mkdir -p .build/fuzz
# The backtracer can hang behind a fuzzer's crash.
export SWIFT_BACKTRACE=enable=no
for name in ${FUZZERS:-FastCGI SCGI NameValuePairs Variables}; do
    swiftc -O -g -sanitize=fuzzer,address -parse-as-library -swift-version 6 -package-name swiftgi -module-name Fuzz -use-ld=lld \
        "${sources[@]}" "Tests/Fuzz/Fuzz$name.swift" -o ".build/fuzz/$name"
    mkdir -p ".build/fuzz/corpus-$name"
    ".build/fuzz/$name" -max_total_time="$seconds" -timeout=100 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix=".build/fuzz/$name-" ".build/fuzz/corpus-$name" "Tests/Fuzz/corpus/$name" 2>&1 |
        grep -vE '^#[0-9]+.*(NEW|REDUCE|pulse)' | tail -n 15
done
