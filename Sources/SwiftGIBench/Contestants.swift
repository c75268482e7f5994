import Glibc

/// Everyone who takes part. What doesn't exist yet has its entry already: it is absent until its
/// product is there.
enum Contestants {
    /// What the others are compared with.
    static let limit = "c-handler"

    static func all(_ site: Site) -> [Contestant] {
        ours + [
            Contestant(
                name: limit, title: "handler in C", needs: [.file("mod_bench.so")], httpd: { handler($0) }),
            // The most that can be spared: no file is looked for, no directory's access is checked.
            Contestant(
                name: "c-unmapped", title: "handler in C that maps its URLs itself", needs: [.file("mod_bench.so")],
                httpd: { "Define BENCH_MAPS\n" + handler($0) }),
            // Without what the handler in C does not send either.
            Contestant(
                name: "static", title: "static file", modules: ["headers"],
                httpd: { _ in
                    """
                    FileETag None
                    MaxRanges none
                    Header unset Last-Modified
                    Header unset Accept-Ranges
                    ForceType application/octet-stream
                    <Location /hello>
                    ForceType text/plain
                    </Location>
                    <Location /app/json>
                    ForceType application/json
                    </Location>
                    """
                },
                without: Dictionary(
                    uniqueKeysWithValues: ["environ", "up", "stream", "wait"].map { ($0, "no application") })),
        ] + python + forwarding(site) + scripting(site) + hummingbird
    }

    /// As modules of httpd that answer by themselves, like mod_status, are configured.
    private static func handler(_ place: Contestant.Place) -> String {
        """
        LoadModule bench_module \(place.site.peers)/mod_bench.so
        <LocationMatch "^/(hello$|app/)">
        SetHandler bench
        </LocationMatch>
        """
    }

    // MARK: SwiftGI

    private static func embedded(_ place: Contestant.Place, _ hello: String, _ bench: String) -> String {
        """
        <IfModule !mod_swiftgi.c>
        LoadModule swiftgi_module \(place.site.peers)/mod_swiftgi.so
        </IfModule>
        SwiftGIScriptAlias /hello \(place.site.peers)/lib\(hello).so
        SwiftGIScriptAlias /app \(place.site.peers)/lib\(bench).so
        """
    }

    /// A group of one process for each library, with as many threads as httpd's child has; to stand before
    /// the module's other lines. The launcher and the supervisor stand beside the module.
    private static func daemon(_ place: Contestant.Place) -> String {
        """
        LoadModule swiftgi_module \(place.site.peers)/mod_swiftgi.so
        SwiftGIDaemonProcess bench threads=\(place.threads) queue-limit=100000
        SwiftGIProcessGroup bench

        """
    }

    private static let ours: [Contestant] = [
        Contestant(
            name: "swiftgi", title: "SwiftGI embedded", needs: [.file("mod_swiftgi.so"), .file("libBench.so")],
            httpd: { embedded($0, "Hello", "Bench") }),
        Contestant(
            name: "swiftgi-async", title: "SwiftGI embedded, async",
            needs: [.file("mod_swiftgi.so"), .file("libAsyncBench.so")],
            httpd: { embedded($0, "AsyncHello", "AsyncBench") }),
        Contestant(
            name: "swiftgi-daemon", title: "SwiftGI daemon",
            needs: launcherNeeds + [.file("mod_swiftgi.so"), .file("swiftgi-supervisor")],
            httpd: { daemon($0) + embedded($0, "Hello", "Bench") }),
        Contestant(
            name: "swiftgi-daemon-async", title: "SwiftGI daemon, async",
            needs: [
                .file("mod_swiftgi.so"), .file("swiftgi-supervisor"), .file("swiftgi-run"),
                .file("libAsyncBench.so"),
            ],
            httpd: { daemon($0) + embedded($0, "AsyncHello", "AsyncBench") }),
        Contestant(
            name: "swiftgi-fcgi", title: "SwiftGI FastCGI, mod_proxy_fcgi",
            needs: launcherNeeds + [.module("proxy_fcgi")], modules: ["proxy", "proxy_fcgi", "env"],
            httpd: { place in
                trustedLength
                    + launched.map {
                        "ProxyPass /\($0.name) \"unix:\(place.socket($0.name))|fcgi://\($0.name)\" enablereuse=on retry=0\n"
                    }.joined()
            },
            processes: launch, sockets: launched.map(\.name)),
        Contestant(
            name: "swiftgi-nginx", title: "SwiftGI FastCGI, nginx",
            needs: launcherNeeds + [.program("nginx")], httpd: nil,
            processes: { place in
                launch(place) + [
                    try Nginx.command(place, forwarding: launched.map { ($0.name, [place.socket($0.name)]) })
                ]
            },
            sockets: launched.map(\.name), without: ["http2": "its nginx has no TLS here"]),
    ]

    /// What swiftgi-run serves: each library on a socket of this name, below a path of this name.
    private static let launched = [(name: "hello", library: "Hello"), (name: "app", library: "Bench")]
    private static let launcherNeeds: [Contestant.Need] = [
        .file("swiftgi-run"), .file("libHello.so"), .file("libBench.so"),
    ]

    /// Commands of swiftgi-run, each with as many threads as an httpd has.
    @Sendable private static func launch(_ place: Contestant.Place) -> [[String]] {
        launched.map {
            [
                "\(place.site.peers)/swiftgi-run", "--fastcgi", "unix:\(place.socket($0.name))", "--threads",
                "\(place.threads)", "--script-name", "/\($0.name)", "--log-level", "error",
                "\(place.site.peers)/lib\($0.library).so",
            ]
        }
    }

    /// Who takes part in `cgi` behind httpd.
    static let cgi = Contestant(
        name: "mod_cgid", title: "SwiftGI, mod_cgid", needs: launcherNeeds + [.module("cgid")],
        modules: ["alias", "cgid", "env"],
        httpd: { place in
            """
            \(trustedLength)
            ScriptSock \(place.directory)/run/cgid
            ScriptAlias /hello \(place.directory)/hello.cgi
            """
        },
        processes: { place in
            let script = "\(place.directory)/hello.cgi"
            try "#!\(place.site.peers)/swiftgi-run \(place.site.peers)/libHello.so\n"
                .write(toFile: script, atomically: false, encoding: .utf8)
            chmod(script, 0o755)
            return []
        })

    /// Who takes part in `capacity`: application servers on loopback addresses of their own behind one nginx.
    static func capacity(_ point: Capacity.Point) -> Contestant {
        Contestant(
            name: "capacity", title: "SwiftGI FastCGI, nginx", needs: launcherNeeds + [.program("nginx")],
            httpd: nil,
            processes: { place in
                var commands: [[String]] = []
                var forwarding: [(String, [String])] = []
                for (name, library) in launched {
                    var addresses: [String] = []
                    for machine in 0..<point.machines {
                        let address = "127.0.0.\(machine + 2):\(try Ports.free())"
                        addresses.append(address)
                        commands.append(
                            [
                                "\(place.site.peers)/swiftgi-run", "--fastcgi", address, "--processes",
                                "\(point.processes)", "--threads", "\(point.threads)", "--script-name", "/\(name)",
                                "--log-level", "error", "\(place.site.peers)/lib\(library).so",
                            ])
                    }
                    forwarding.append((name, addresses))
                }
                return commands + [try Nginx.command(place, forwarding: forwarding)]
            })
    }

    /// Who takes part in `streams`, with the samples for applications.
    static let streams = [
        embeddedStreams,
        Contestant(
            name: "swiftgi-daemon-async", title: "SwiftGI daemon, async",
            needs: embeddedStreams.needs + [.file("swiftgi-supervisor"), .file("swiftgi-run")],
            httpd: { daemon($0) + (embeddedStreams.httpd?($0) ?? "") }),
    ]

    static let embeddedStreams = Contestant(
        name: "swiftgi-async", title: "SwiftGI embedded, async",
        needs: [.file("mod_swiftgi.so"), .file("libEvents.so"), .file("libHello.so"), .file("streams")],
        httpd: { place in
            """
            <IfModule !mod_swiftgi.c>
            LoadModule swiftgi_module \(place.site.peers)/mod_swiftgi.so
            </IfModule>
            SwiftGIScriptAlias /hello \(place.site.peers)/libHello.so
            SwiftGIScriptAlias /events \(place.site.peers)/libEvents.so
            """
        })

    // MARK: Python

    private static let python = [
        Contestant(
            name: "mod_wsgi", title: "mod_wsgi embedded", needs: [.module("wsgi")], modules: ["wsgi"],
            httpd: { place in
                """
                WSGIApplicationGroup %{GLOBAL}
                WSGIScriptAlias /hello \(place.site.peers)/bench.wsgi
                WSGIScriptAlias /app \(place.site.peers)/bench.wsgi
                """
            }),
        Contestant(
            name: "mod_wsgi-daemon", title: "mod_wsgi daemon", needs: [.module("wsgi")], modules: ["wsgi"],
            httpd: { place in
                """
                WSGISocketPrefix \(place.directory)/run/wsgi
                WSGIDaemonProcess bench processes=2 threads=16
                WSGIProcessGroup bench
                WSGIApplicationGroup %{GLOBAL}
                WSGIScriptAlias /hello \(place.site.peers)/bench.wsgi
                WSGIScriptAlias /app \(place.site.peers)/bench.wsgi
                """
            }),
        Contestant(
            name: "uwsgi", title: "uWSGI, mod_proxy_uwsgi", needs: [.program("uwsgi"), .module("proxy_uwsgi")],
            modules: ["proxy", "proxy_uwsgi"],
            httpd: { $0.proxy("uwsgi", "uwsgi") },
            processes: { place in
                [
                    [
                        "uwsgi", "--plugin", "python3", "--uwsgi-socket", place.socket("uwsgi"), "--chmod-socket=666",
                        "--listen", "1024", "--wsgi-file", "\(place.site.peers)/bench.wsgi", "--master",
                        "--processes", "2", "--threads", "16", "--disable-logging", "--die-on-term",
                    ]
                ]
            }, sockets: ["uwsgi"]),
    ]

    // MARK: What forwards to C or nginx

    /// Since 2.4.59 httpd drops the Content-Length that a FastCGI application sends, and chunks.
    private static let trustedLength = "SetEnv ap_trust_cgilike_cl 1\n"

    /// As many as there may be connections: libfcgi has a thread wait on each, and there are two pools of them.
    private static func fcgiThreads(_ place: Contestant.Place) -> Int { 2 * place.children * place.threads + 8 }

    private static func forwarding(_ site: Site) -> [Contestant] {
        [
            Contestant(
                name: "fcgi-c", title: "libfcgi in C, mod_proxy_fcgi", needs: [.file("fcgi"), .module("proxy_fcgi")],
                modules: ["proxy", "proxy_fcgi", "env"], httpd: { trustedLength + $0.proxy("fcgi", "fcgi") },
                processes: { [["\($0.site.peers)/fcgi", $0.socket("fcgi"), "\(fcgiThreads($0))"]] },
                sockets: ["fcgi"]),
            Contestant(
                name: "fcgi-c-nginx", title: "libfcgi in C, nginx", needs: [.file("fcgi"), .program("nginx")],
                httpd: nil,
                processes: { place in
                    [
                        ["\(place.site.peers)/fcgi", place.socket("fcgi"), "\(fcgiThreads(place))"],
                        try Nginx.command(
                            place, forwarding: [("hello", [place.socket("fcgi")]), ("app", [place.socket("fcgi")])]),
                    ]
                },
                sockets: ["fcgi"],
                without: [
                    "http2": "its nginx has no TLS here", "c1000": "a thread for each connection",
                    "wait": "a thread for each connection",
                ]),
            Contestant(
                name: "mod_fcgid", title: "libfcgi in C, mod_fcgid", needs: [.file("fcgi"), .module("fcgid")],
                modules: ["fcgid", "alias", "mime"],
                httpd: { place in
                    """
                    TypesConfig /dev/null
                    FcgidIPCDir \(place.directory)/run/fcgid
                    FcgidProcessTableFile \(place.directory)/run/fcgid.table
                    FcgidMaxProcesses 64
                    FcgidMaxProcessesPerClass \(place.threads)
                    FcgidSpawnScoreUpLimit 1000
                    FcgidMaxRequestLen 16777216
                    FcgidInitialEnv BENCH_DATA \(place.site.data)
                    Alias /hello \(place.site.peers)/fcgi
                    Alias /app \(place.site.peers)/fcgi
                    <Files fcgi>
                    SetHandler fcgid-script
                    Options +ExecCGI
                    </Files>
                    """
                }),
            Contestant(
                name: "scgi-c", title: "SCGI in C, mod_proxy_scgi", needs: [.file("scgi"), .module("proxy_scgi")],
                modules: ["proxy", "proxy_scgi", "env"], httpd: { trustedLength + $0.proxy("scgi", "scgi") },
                processes: { [["\($0.site.peers)/scgi", $0.socket("scgi"), "\($0.children * $0.threads)"]] },
                sockets: ["scgi"]),
            Contestant(
                name: "nginx", title: "nginx, mod_proxy_http", needs: [.program("nginx"), .module("proxy_http")],
                modules: ["proxy", "proxy_http"], httpd: { $0.proxy("http", "nginx") },
                processes: { place in [try Nginx.command(place, listening: "unix:\(place.socket("nginx"))")] },
                sockets: ["nginx"],
                without: Dictionary(
                    uniqueKeysWithValues: ["environ", "up", "stream", "wait"].map { ($0, "no application") })),
        ]
    }

    // MARK: Scripts

    private static func scripting(_ site: Site) -> [Contestant] {
        let phpModule = Programs.modPHP(site)
        return [
            Contestant(
                name: "mod_perl", title: "mod_perl", needs: [.module("perl")], modules: ["perl"],
                httpd: { place in
                    """
                    PerlPassEnv BENCH_DATA
                    PerlSwitches -I\(place.site.peers)
                    PerlModule Bench
                    PerlInterpStart 4
                    PerlInterpMaxSpare \(place.threads)
                    PerlInterpMax \(place.threads)
                    <LocationMatch "^/(hello$|app/)">
                    SetHandler modperl
                    PerlResponseHandler Bench
                    </LocationMatch>
                    """
                }),
            Contestant(
                name: "mod_lua", title: "mod_lua", needs: [.module("lua")], modules: ["lua"],
                httpd: { place in
                    """
                    LuaScope thread
                    LuaCodeCache forever
                    LuaMapHandler ^/(hello$|app/) \(place.site.peers)/bench.lua handle
                    """
                }),
            Contestant(
                name: "mod_php", title: "mod_php (prefork)", needs: [.file(phpModule ?? "libphp.so")],
                modules: ["alias"], isPrefork: true,
                httpd: { place in
                    """
                    LoadModule php_module \(phpModule ?? "")
                    PHPIniDir \(place.directory)
                    AliasMatch ^/(hello$|app/) \(place.site.peers)/bench.php
                    <Files bench.php>
                    SetHandler application/x-httpd-php
                    </Files>
                    """
                },
                processes: { try PHP.writeSettings($0) },
                without: ["http2": "mod_http2 wants threads", "c1000": "a process for each connection"]),
            Contestant(
                name: "php-fpm", title: "php-fpm, mod_proxy_fcgi",
                needs: [.file(Programs.phpFPM ?? "php-fpm"), .module("proxy_fcgi")],
                modules: ["proxy", "proxy_fcgi", "alias", "env"],
                httpd: { place in
                    """
                    \(trustedLength)
                    AliasMatch ^/(hello$|app/) \(place.site.peers)/bench.php
                    <Proxy "fcgi://php/" enablereuse=on>
                    </Proxy>
                    <Files bench.php>
                    SetHandler "proxy:unix:\(place.socket("php"))|fcgi://php/"
                    </Files>
                    """
                },
                processes: { try PHP.writeSettings($0) + [PHP.command($0)] }, sockets: ["php"]),
        ]
    }

    // MARK: Hummingbird

    private static let hummingbird = [
        Contestant(
            name: "hummingbird", title: "Hummingbird, mod_proxy_http",
            needs: [.file("BenchHummingbird"), .module("proxy_http")], modules: ["proxy", "proxy_http"],
            httpd: { $0.proxy("http", "hummingbird") },
            processes: { [["\($0.site.peers)/BenchHummingbird", $0.socket("hummingbird")]] },
            sockets: ["hummingbird"], without: ["environ": "no variables"]),
        Contestant(
            name: "hummingbird-tcp", title: "Hummingbird, mod_proxy_http, TCP",
            needs: [.file("BenchHummingbird"), .module("proxy_http")], modules: ["proxy", "proxy_http"],
            httpd: { place in
                ["/hello", "/app"].map {
                    "ProxyPass \($0) http://127.0.0.1:\(place.backPort)\($0) enablereuse=on retry=0\n"
                }.joined()
            },
            processes: {
                [["\($0.site.peers)/BenchHummingbird", "\($0.backPort)", $0.socket("hummingbird-tcp")]]
            },
            sockets: ["hummingbird-tcp"], without: ["environ": "no variables"]),
        Contestant(
            name: "hummingbird-embedded", title: "Hummingbird embedded",
            needs: [.file("mod_swiftgi.so"), .file("libHummingbirdBench.so")],
            httpd: { place in
                """
                LoadModule swiftgi_module \(place.site.peers)/mod_swiftgi.so
                SwiftGIScriptAlias / \(place.site.peers)/libHummingbirdBench.so
                """
            }, without: ["environ": "no variables"]),
    ]
}

enum Nginx {
    /// Makes the configuration of an nginx that serves the files, and gives the command that starts it.
    static func command(_ place: Contestant.Place, listening: String) throws -> [String] {
        try command(
            place, listening: listening,
            locations: """
                location /hello { default_type text/plain; }
                location /app/json { default_type application/json; }
                """)
    }

    /// The same for an nginx on the port that passes requests on to FastCGI servers.
    ///
    /// - Parameter places: Below which path they are, and the sockets or addresses of each.
    static func command(
        _ place: Contestant.Place, forwarding places: [(path: String, addresses: [String])]
    ) throws -> [String] {
        try command(
            place, listening: "127.0.0.1:\(place.port)", workers: place.children,
            upstreams: places.map { path, addresses in
                let servers = addresses.map { "server \($0.hasPrefix("/") ? "unix:" : "")\($0);" }
                return "upstream \(path) { \(servers.joined(separator: " ")) keepalive 1000; }\n"
            }.joined(),
            locations: places.map {
                """
                location /\($0.path) {
                    include /etc/nginx/fastcgi_params;
                    fastcgi_keep_conn on;
                    fastcgi_buffering off;
                    fastcgi_request_buffering off;
                    fastcgi_pass \($0.path);
                }

                """
            }.joined())
    }

    private static func command(
        _ place: Contestant.Place, listening: String, workers: Int = 1, upstreams: String = "", locations: String
    ) throws -> [String] {
        let run = "\(place.directory)/run"
        try """
        daemon off;
        worker_processes \(workers);
        pid \(run)/nginx.pid;
        events { worker_connections 4096; }
        http {
            access_log off;
            sendfile on;
            server_tokens off;
            etag off;
            max_ranges 0;
            keepalive_requests 1000000000;
            keepalive_timeout 3600;
            client_body_temp_path \(run)/1; proxy_temp_path \(run)/2; fastcgi_temp_path \(run)/3;
            uwsgi_temp_path \(run)/4; scgi_temp_path \(run)/5;
            default_type application/octet-stream;
            add_header Last-Modified "";
            \(upstreams)
            server {
                listen \(listening) backlog=1024;
                root \(place.site.data);
                \(locations)
            }
        }

        """.write(toFile: "\(place.directory)/nginx.conf", atomically: false, encoding: .utf8)
        return ["nginx", "-e", "\(place.directory)/logs/nginx.log", "-c", "\(place.directory)/nginx.conf"]
    }
}

enum PHP {
    /// Makes php.ini and the configuration of php-fpm.
    static func writeSettings(_ place: Contestant.Place) throws -> [[String]] {
        try """
        expose_php = Off
        default_charset =
        output_buffering = 0
        zend_extension = opcache
        opcache.enable = 1
        opcache.memory_consumption = 64
        opcache.validate_timestamps = 0

        """.write(toFile: "\(place.directory)/php.ini", atomically: false, encoding: .utf8)
        try """
        [global]
        error_log = \(place.directory)/logs/fpm.log
        daemonize = no
        [bench]
        listen = \(place.socket("php"))
        listen.mode = 0666
        listen.backlog = 1024
        pm = static
        pm.max_children = \(place.threads + 2)
        clear_env = no

        """.write(toFile: "\(place.directory)/fpm.conf", atomically: false, encoding: .utf8)
        return []
    }

    static func command(_ place: Contestant.Place) -> [String] {
        [
            Programs.phpFPM ?? "php-fpm", "--nodaemonize", "-c", "\(place.directory)/php.ini", "--fpm-config",
            "\(place.directory)/fpm.conf",
        ]
    }
}
