#!/bin/sh
# Instructions that a request costs in httpd, a C handler's beside an application's:
# callgrind, as the difference of two runs, which is exact and repeatable.
#
#     httpd.sh MODULE LIBRARY
#
# Needs valgrind and ab. As root it runs httpd as www-data, since an application
# does not run as root.
set -eu
for tool in valgrind ab curl; do
    command -v "$tool" > /dev/null || { echo "httpd.sh: needs $tool" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
modules=$(apxs -q LIBEXECDIR)
mkdir "$work/htdocs" "$work/build"
cp "$1" "$work/mod_swiftgi.so"
cp "$2" "$work/libHello.so"
cp "$here/mod_limit.c" "$work/build"
(cd "$work/build" && apxs -c mod_limit.c > /dev/null 2>&1 && cp .libs/mod_limit.so "$work")
chmod 755 "$work" "$work"/*.so
cat > "$work/httpd.conf" <<END
ServerRoot $work
ServerName localhost
Listen 127.0.0.1:$port
PidFile $work/pid
ErrorLog $work/error.log
LoadModule mpm_prefork_module $modules/mod_mpm_prefork.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule swiftgi_module $work/mod_swiftgi.so
LoadModule limit_module $work/mod_limit.so
DocumentRoot $work/htdocs
MaxKeepAliveRequests 0
<Directory $work>
    Require all granted
</Directory>
SwiftGIScriptAlias /hello $work/libHello.so
<Location /limit>
    SetHandler limit
</Location>
END
touch "$work/htdocs/limit"
become=
if [ "$(id -u)" = 0 ]; then
    chown -R www-data "$work"
    become='setpriv --reuid=www-data --regid=www-data --clear-groups'
fi

instructions() {
    $become valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        apache2 -d "$work" -f "$work/httpd.conf" -X > "$work/valgrind.log" 2>&1 &
    pid=$!
    until curl -so /dev/null "http://127.0.0.1:$port/limit"; do
        kill -0 "$pid" || { cat "$work/valgrind.log" "$work/error.log" >&2; exit 1; }
        sleep 0.2
    done
    ab -q -k -c 1 -n "$2" "http://127.0.0.1:$port$1" > "$work/ab.log" 2>&1
    if grep -q '^Non-2xx' "$work/ab.log"; then
        echo "$1 fails" >&2
        exit 1
    fi
    kill -TERM "$pid"
    wait "$pid" 2> /dev/null || true
    sed -n 's/^\(summary\|totals\): //p' "$work/out" | head -n 1
}

each() {
    few=$(instructions "$1" 500)
    many=$(instructions "$1" 2500)
    echo $(((many - few) / 2000))
}

limit=$(each /limit)
hello=$(each /hello)
echo "C handler $limit, application $hello instructions a request: $((hello - limit)) more"
