#!/bin/bash
# Event streams where a waiting handler keeps its thread: under the worker and prefork MPMs, and over
# HTTP/2. Says whether all events came, and what memory a stream took: how much more all of httpd's
# processes have (PSS) while the streams are open than behind as many answered requests at once.
#
#     attached.sh MODULE LIBEVENTS LIBHELLO STREAMS-PROGRAM [STREAMS [EVENTS]]
#
# STREAMS-PROGRAM is streams.c, built. Needs curl and nghttp. As root it runs httpd as www-data.
set -euo pipefail
module=$1 events=$2 hello=$3 program=$4 streams=${5:-200} count=${6:-10}
work=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -TERM "$pid" 2> /dev/null || true; sleep 1; rm -rf "$work"' EXIT
modules=$(apxs -q LIBEXECDIR)
httpd=$(apxs -q SBINDIR)/$(apxs -q PROGNAME)
cp "$module" "$work/mod_swiftgi.so"
cp "$events" "$hello" "$work"
chmod 755 "$work" "$work"/*.so

# Of the server and all that it has forked.
memory() {
    local all=0 process
    for process in "$pid" $(pgrep -P "$pid"); do
        all=$((all + $(awk '/^Pss:/ { print $2 }' "/proc/$process/smaps_rollup" 2> /dev/null || echo 0)))
    done
    echo "$all"
}
threads() {
    local all=0 process
    for process in $(pgrep -P "$pid"); do
        all=$((all + $(awk '/^Threads:/ { print $2 }' "/proc/$process/status" 2> /dev/null || echo 0)))
    done
    echo "$all"
}

start() { # MPM, lines
    local mpm=$1
    port=$(perl -MIO::Socket::INET -e \
        'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
    cat > "$work/httpd.conf" << END
ServerRoot $work
ServerName localhost
Listen 127.0.0.1:$port
PidFile $work/pid
ErrorLog $work/error.log
LoadModule mpm_${mpm}_module $modules/mod_mpm_$mpm.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule http2_module $modules/mod_http2.so
LoadModule swiftgi_module $work/mod_swiftgi.so
$([[ $EUID -ne 0 ]] || printf 'User www-data\nGroup www-data')
MaxKeepAliveRequests 0
DocumentRoot $work
Protocols h2c http/1.1
<Directory />
    AllowOverride None
    Require all granted
</Directory>
SwiftGIScriptAlias /hello $work/$(basename "$hello")
SwiftGIScriptAlias /events $work/$(basename "$events")
$2
END
    "$httpd" -f "$work/httpd.conf" -D FOREGROUND > "$work/out.log" 2>&1 & pid=$!
    until curl -so /dev/null "http://127.0.0.1:$port/hello"; do
        kill -0 "$pid" || { cat "$work/out.log" "$work/error.log" >&2; exit 1; }
        sleep 0.2
    done
}
stop() { kill -TERM "$pid"; wait "$pid" 2> /dev/null || true; pid=; }

report() { # name, client's line, before, during
    echo "$1: $streams streams: $2; $((($4 - $3) / streams)) KiB each, $5 threads"
}

# HTTP/1.1: each stream on a connection of its own.
plain() { # MPM, lines
    start "$1" "$2"
    # What comes with the threads and processes themselves belongs to the server.
    "$program" "$port" /hello 1 0 /hello > /dev/null 2>&1 || true
    local before during
    before=$(memory)
    "$program" "$port" /events/stream "$streams" "$count" /hello > "$work/streams.out" & local client=$!
    sleep $((count / 2 + 3))
    during=$(memory)
    local number
    number=$(threads)
    local status=0
    wait "$client" || status=$?
    report "$1, HTTP/1.1" "$(cat "$work/streams.out") (status $status)" "$before" "$during" "$number"
    stop
}

# HTTP/2: six on each connection. More are not begun before others have ended: mod_http2 begins with
# that number for a connection, and raises it as requests are done.
multiplexed() { # MPM, lines
    start "$1" "$2"
    local before during number complete
    before=$(memory)
    streams=$(((streams + 5) / 6 * 6))
    local clients=() i
    for ((i = 0; i < streams / 6; i++)); do
        timeout $((count + 15)) nghttp -m 6 "http://127.0.0.1:$port/events/stream" > "$work/answers.$i" & clients+=($!)
    done
    sleep $((count / 2 + 3))
    during=$(memory)
    number=$(threads)
    for i in "${clients[@]}"; do wait "$i" || true; done
    # Each of the first ids has come as often as there are streams.
    complete=$(sed -n 's/^id: //p' "$work"/answers.* | sort -n | uniq -c |
        awk -v streams="$streams" -v count="$count" '$1 == streams && $2 <= count' | wc -l)
    report "$1, HTTP/2" "$complete of $count events to all" "$before" "$during" "$number"
    stop
}

plain worker "ServerLimit 1
StartServers 1
ThreadLimit $((streams + 20))
ThreadsPerChild $((streams + 20))
MaxRequestWorkers $((streams + 20))"
plain prefork "ServerLimit $((streams + 20))
StartServers $((streams + 20))
MinSpareServers 1
MaxSpareServers $((streams + 20))
MaxRequestWorkers $((streams + 20))"
# A connection whose requests wait holds a thread of the MPM besides.
multiplexed event "ServerLimit 1
StartServers 1
ThreadLimit $((streams + 20))
ThreadsPerChild $((streams / 6 + 20))
MaxRequestWorkers $((streams / 6 + 20))
H2MaxSessionStreams $((streams + 20))
H2MaxWorkers $((streams + 20))
H2MinWorkers 16"
