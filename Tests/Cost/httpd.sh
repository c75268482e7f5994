#!/bin/bash
# Instructions that a request costs in httpd: a C handler's, and how many more it is with each
# application, and with the first one in a daemon, whose own are not counted. Callgrind counts them
# between two requests to it, in one run for all; so the figures are exact and repeatable.
#
#     httpd.sh MODULE LAUNCHER LIBRARY…
#
# Needs valgrind, ab and curl. As root it runs httpd as www-data, since an application does not run
# as root.
set -euo pipefail
for tool in valgrind callgrind_control ab curl; do
    command -v "$tool" > /dev/null || { echo "httpd.sh: needs $tool" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
module=$1 launcher=$2
shift 2
work=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -KILL "$pid" 2> /dev/null || true; rm -rf "$work"' EXIT
# Nobody listens there now; should somebody begin to, httpd says so.
port=$(perl -MIO::Socket::INET -e \
    'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
modules=$(apxs -q LIBEXECDIR)
mkdir "$work/build"
cp "$module" "$work/mod_swiftgi.so"
cp "$(dirname "$module")/swiftgi-supervisor" "$launcher" "$work"
cp "$@" "$work"
# valgrind does not understand all that debuggers are told.
strip --strip-debug "$work"/*.so
cp "$here/mod_limit.c" "$work/build"
(cd "$work/build" && apxs -c mod_limit.c > /dev/null 2>&1 && cp .libs/mod_limit.so "$work")
chmod 755 "$work" "$work"/*.so
cat > "$work/httpd.conf" << END
ServerRoot $work
ServerName localhost
Listen 127.0.0.1:$port
PidFile $work/pid
ErrorLog $work/error.log
LoadModule mpm_prefork_module $modules/mod_mpm_prefork.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule swiftgi_module $work/mod_swiftgi.so
LoadModule limit_module $work/mod_limit.so
DocumentRoot $work
SwiftGISocketDirectory $work/run
SwiftGIDaemonProcess daemon
SwiftGIScriptAlias /daemon $work/${1##*/} process-group=daemon
MaxKeepAliveRequests 0
<Directory />
    AllowOverride None
    Require all granted
</Directory>
<Location /limit>
    SetHandler limit
</Location>
END
for library in "$@"; do
    name=$(basename "$library" .so)
    echo "SwiftGIScriptAlias /${name#lib} $work/${library##*/}" >> "$work/httpd.conf"
done
touch "$work/limit"
become=()
if [[ $EUID -eq 0 ]]; then
    chown -R www-data "$work"
    become=(setpriv --reuid=www-data --regid=www-data --clear-groups)
fi

cd "$work"
"${become[@]}" valgrind --tool=callgrind --callgrind-out-file="$work/out" \
    "$(apxs -q SBINDIR)/$(apxs -q PROGNAME)" -d "$work" -f "$work/httpd.conf" -X > "$work/valgrind.log" 2>&1 &
pid=$!
until curl -so /dev/null "http://127.0.0.1:$port/limit"; do
    kill -0 "$pid" || { cat "$work/valgrind.log" "$work/error.log" >&2; exit 1; }
    sleep 0.2
done

ask() {
    ab -q -k -c 1 -n "$2" "http://127.0.0.1:$port/$1" > "$work/ab.log" 2>&1
    if grep -q '^Non-2xx' "$work/ab.log" || ! grep -q '^Failed requests: *0$' "$work/ab.log"; then
        cat "$work/ab.log" "$work/error.log" >&2
        echo "httpd.sh: /$1 fails" >&2
        exit 1
    fi
}
control() { "${become[@]}" callgrind_control "$@" "$pid" > "$work/control.log" 2>&1; }
# Instructions of so many requests on one connection.
count() {
    control --zero
    ask "$1" "$2"
    rm -f "$work"/out*
    control --dump
    sed -n 's/^\(summary\|totals\): //p' "$work"/out* | head -n 1
}
each() {
    local few many
    ask "$1" 200
    few=$(count "$1" 200)
    many=$(count "$1" 1200)
    echo $(((many - few) / 1000))
}

limit=$(each limit)
echo "C handler $limit instructions a request"
for library in "$@"; do
    name=$(basename "$library" .so)
    cost=$(each "${name#lib}")
    echo "${name#lib} $cost instructions a request, $((cost - limit)) more"
done
name=$(basename "$1" .so)
cost=$(each daemon)
echo "${name#lib}-daemon $cost instructions a request, $((cost - limit)) more"
kill -TERM "$pid"
wait "$pid" 2> /dev/null || true
pid=
