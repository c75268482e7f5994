/* options.c: the command line. A table has all options, what they take, and their text for people. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    PROTOCOL,
    ADDRESS,
    TEXT,
    COUNT,
    COUNT64,
    SIZE,
    TIME,
    MODE,
    LEVEL,
    DESCRIPTOR,
    USER,
    HELP,
    VERSION
};

#define MEMBER(name) offsetof(launch_options, name)

static const struct option_entry {
    const char *name;
    const char *argument; /* NULL: none */
    enum kind kind;
    size_t member;
    uint64_t low, high;
    uint32_t protocol;
    const char *text;
} entries[] = {
    { "cgi", NULL, PROTOCOL, 0, 0, 0, SWIFTGI_SERVE_CGI, "answer one request by CGI" },
    { "fastcgi", "ADDRESS", ADDRESS, 0, 0, 0, SWIFTGI_SERVE_FASTCGI, "serve FastCGI" },
    { "scgi", "ADDRESS", ADDRESS, 0, 0, 0, SWIFTGI_SERVE_SCGI, "serve SCGI" },
    { "threads", "N", COUNT, MEMBER(serve.threads), 1, 1024, 0,
      "requests of the gateway contract at a time, in each process (8)" },
    { "processes", "N", COUNT, MEMBER(processes), 1, 1024, 0,
      "so many processes, which are watched and replaced" },
    { "max-requests", "N", COUNT64, MEMBER(max_requests), 1, UINT64_MAX / 2, 0,
      "replace a process after so many requests, up to a tenth more" },
    { "max-connections", "N", COUNT, MEMBER(serve.max_connections), 1, 1000000, 0,
      "connections of web servers at a time, in each process (4096)" },
    { "backlog", "N", COUNT, MEMBER(backlog), 1, 65535, 0,
      "connections that wait to be accepted (as many as net.core.somaxconn says)" },
    { "max-body", "SIZE", SIZE, MEMBER(serve.max_body), 1, INT64_MAX, 0,
      "the largest body of a request: 64M (any)" },
    { "io-timeout", "TIME", TIME, MEMBER(serve.io_timeout), 1, INT32_MAX, 0,
      "for a web server to send or to take something: 90s (60s)" },
    { "request-timeout", "TIME", TIME, MEMBER(serve.request_timeout), 1, INT32_MAX, 0,
      "for an asynchronous handler to answer (any)" },
    { "inactivity-timeout", "TIME", TIME, MEMBER(serve.inactivity_timeout), 1, INT32_MAX, 0,
      "end when, after a request, none came for this time: 10m (never)" },
    { "grace", "TIME", TIME, MEMBER(serve.grace), 1, INT32_MAX, 0,
      "for requests to be answered at the end (30s)" },
    { "script-name", "PATH", TEXT, MEMBER(script_name), 0, 0, 0,
      "where the application is mounted: /app (what the web server says)" },
    { "socket-mode", "MODE", MODE, MEMBER(socket_mode), 0, 07777, 0,
      "permissions of a Unix socket: 0660 (as the umask says)" },
    { "socket-group", "GROUP", TEXT, MEMBER(socket_group), 0, 0, 0, "group of a Unix socket" },
    { "peer-user", "USER", USER, MEMBER(serve.peer), 0, UINT32_MAX - 1, 0,
      "who may connect to a Unix socket beside root: name or number (anybody)" },
    { "log-level", "LEVEL", LEVEL, MEMBER(serve.level), 0, 0, 0,
      "critical, error, warning, notice, info, debug or trace (notice)" },
    { "ready", "fd:N", DESCRIPTOR, MEMBER(ready), 3, 1000000, 0,
      "a supervisor's pipe: gets r (ready), m (--max-requests), i (--inactivity-timeout)" },
    { "board", "fd:N", DESCRIPTOR, MEMBER(board), 3, 1000000, 0,
      "a supervisor's memory: gets the ids of the requests that are served" },
    { "help", NULL, HELP, 0, 0, 0, 0, "this text" },
    { "version", NULL, VERSION, 0, 0, 0, 0, "the version" },
};

#define ENTRY_COUNT (sizeof(entries) / sizeof(entries[0]))

static void print_usage(FILE *file, const launch_options *options, bool has_table)
{
    size_t i;

    fprintf(file, "Usage: %s [OPTION]...%s\n", options->program, has_table ? "" : " LIBRARY");
    fputs("Runs a SwiftGI application behind a web server.\n\n", file);
    for (i = 0; i < ENTRY_COUNT; i++) {
        char left[40];

        snprintf(left, sizeof(left), "--%s%s%s", entries[i].name,
                 entries[i].argument ? " " : "",
                 entries[i].argument ? entries[i].argument : "");
        fprintf(file, "  %-24s %s\n", left, entries[i].text);
    }
    fputs(
        "\nADDRESS is unix:/path, host:port, [address]:port, :port or fd:N. Without --cgi, --fastcgi\n"
        "and --scgi it is recognised how the program was started: by systemd with a socket, by a\n"
        "FastCGI process manager with a socket as descriptor 0, or as a CGI program.\n",
        file);
}

/* The number in `text`, with the factor of its suffix; false: it is none. */
static bool parse_number(const char *text, const char *suffixes, const uint64_t *factors,
                         uint64_t *number)
{
    const char *suffix;
    uint64_t factor = 1;
    char *end;

    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno) return false;
    if (*end && suffixes) {
        suffix = strchr(suffixes, *end);
        if (!suffix) return false;
        factor = factors[suffix - suffixes];
        end++;
    }
    return !*end && !__builtin_mul_overflow(*number, factor, number);
}

/* Milliseconds: 500ms, 30s, 5m, 1h; a number alone is seconds. */
static bool parse_time(const char *text, uint64_t *milliseconds)
{
    static const uint64_t factors[] = { 1000, 60000, 3600000 };
    size_t length = strlen(text);
    char copy[32];

    if (length > 2 && length < sizeof(copy) && !strcmp(text + length - 2, "ms")) {
        memcpy(copy, text, length - 2);
        copy[length - 2] = '\0';
        return parse_number(copy, NULL, NULL, milliseconds);
    }
    if (!parse_number(text, "smh", factors, milliseconds)) return false;
    if (length && text[length - 1] >= '0' && text[length - 1] <= '9') {
        return !__builtin_mul_overflow(*milliseconds, (uint64_t)1000, milliseconds);
    }
    return true;
}

static bool parse_level(const char *text, uint32_t *level)
{
    static const char *const names[] = { "critical", "error", "warning", "notice",
                                         "info",     "debug", "trace" };
    uint32_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(text, names[i])) {
            *level = SWIFTGI_LOG_CRITICAL + i;
            return true;
        }
    }
    return false;
}

/* A user's number, or that of a name. */
static bool parse_user(const char *text, uint64_t *number)
{
    const struct passwd *user;

    if (parse_number(text, NULL, NULL, number)) return true;
    user = getpwnam(text);
    if (user) *number = user->pw_uid;
    return user != NULL;
}

/* Stores the option's argument; false: it is none. */
static bool store(launch_options *options, const struct option_entry *entry, const char *text)
{
    static const uint64_t sizes[] = { 1 << 10, 1 << 20, 1 << 30 };
    void *member = (char *)options + entry->member;
    uint64_t number = 0;
    char *end;

    switch (entry->kind) {
    case TEXT:
        if (!*text) return false;
        *(const char **)member = text;
        return true;
    case MODE:
        number = strtoul(text, &end, 8);
        if (*text < '0' || *text > '7' || *end || number > entry->high) return false;
        *(int *)member = (int)number;
        return true;
    case LEVEL: return parse_level(text, member);
    case DESCRIPTOR:
        if (strncmp(text, "fd:", 3) || !parse_number(text + 3, NULL, NULL, &number))
            return false;
        break;
    case TIME:
        if (!parse_time(text, &number)) return false;
        break;
    case USER:
        if (!parse_user(text, &number)) return false;
        options->checks_peer = true;
        break;
    case SIZE:
        if (!parse_number(text, "KMG", sizes, &number)) return false;
        break;
    default:
        if (!parse_number(text, NULL, NULL, &number)) return false;
        break;
    }
    if (number < entry->low || number > entry->high) return false;
    if (entry->kind == SIZE || entry->kind == COUNT64) *(uint64_t *)member = number;
    else *(uint32_t *)member = (uint32_t)number;
    return true;
}

static int complain(const launch_options *options, const char *what, const char *about)
{
    fprintf(stderr, "%s: %s%s%s; --help shows what there is\n", options->program, what,
            *about ? ": " : "", about);
    return SWIFTGI_EXIT_USAGE;
}

int launch_parse(launch_options *options, int argc, char *const argv[], bool has_table)
{
    struct option longs[ENTRY_COUNT + 1];
    int choice;
    size_t i;

    memset(longs, 0, sizeof(longs));
    for (i = 0; i < ENTRY_COUNT; i++) {
        longs[i].name = entries[i].name;
        longs[i].has_arg = entries[i].argument ? required_argument : no_argument;
        longs[i].val = 256 + (int)i;
    }
    optind = 1;
    opterr = 0;
    while ((choice = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
        const struct option_entry *entry;
        char about[160];

        if (choice == 'h') {
            print_usage(stdout, options, has_table);
            return 0;
        }
        if (choice == ':') return complain(options, "an argument is missing", argv[optind - 1]);
        if (choice < 256) return complain(options, "there is no such option", argv[optind - 1]);
        entry = &entries[choice - 256];
        switch (entry->kind) {
        case HELP: print_usage(stdout, options, has_table); return 0;
        case VERSION: puts(LAUNCH_SOFTWARE); return 0;
        case PROTOCOL:
        case ADDRESS:
            if (options->protocol) {
                return complain(options, "only one of --cgi, --fastcgi and --scgi is possible",
                                "");
            }
            options->protocol = entry->protocol;
            options->address = optarg;
            break;
        default:
            if (store(options, entry, optarg)) break;
            snprintf(about, sizeof(about), "--%s %s is wanted, not '%.60s'", entry->name,
                     entry->argument, optarg);
            return complain(options, "an argument can't be understood", about);
        }
    }
    if (!has_table) {
        if (optind >= argc) return complain(options, "no library was given", "");
        options->library = argv[optind++];
    }
    /* A script that names this program in its first line is given as one more operand. */
    if (optind < argc - 1) return complain(options, "too many operands", argv[optind + 1]);
    if (options->protocol == SWIFTGI_SERVE_CGI && options->processes) {
        return complain(options, "--processes is of no use with --cgi", "");
    }
    if (options->ready >= 0 && options->processes) {
        return complain(options, "only one of --processes and --ready is possible", "");
    }
    return -1;
}
