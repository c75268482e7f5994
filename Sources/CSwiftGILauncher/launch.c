/* launch.c: recognises how the program was started, loads the application, serves. */
#define _GNU_SOURCE
#include "launch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void launch_log(const launch_options *options, const char *level, const char *format, ...)
{
    char text[1024];
    size_t length = 0;
    va_list arguments;

    if (options->protocol != SWIFTGI_SERVE_CGI) {
        struct timespec now;
        struct tm parts;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &parts);
        length = strftime(text, 64, "%Y-%m-%dT%H:%M:%S", &parts);
        length += (size_t)snprintf(text + length, 64, ".%03ldZ [%s] [pid %d] ",
                                   now.tv_nsec / 1000000, level, (int)getpid());
    }
    else {
        length = (size_t)snprintf(text, 64, "[%s] ", level);
    }
    va_start(arguments, format);
    vsnprintf(text + length, sizeof(text) - length - 1, format, arguments);
    va_end(arguments);
    length = strlen(text);
    text[length++] = '\n';
    /* One call, so that lines of several processes do not mix. */
    if (write(STDERR_FILENO, text, length) < 0) return;
}

/* ---- how it was started ---- */

/* systemd's sockets begin at 3 (sd_listen_fds(3)). */
static bool has_systemd_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    return pid && count && atol(pid) == (long)getpid() && atol(count) >= 1;
}

/* -1: recognised; else the status to end with. */
static int recognise(launch_options *options)
{
    if (has_systemd_socket()) {
        if (!launch_is_listening(3)) {
            launch_log(options, "critical",
                       "SGI0352: the descriptor from systemd is no listening stream socket");
            return SWIFTGI_EXIT_USAGE;
        }
        options->protocol = SWIFTGI_SERVE_FASTCGI;
        options->listener = 3;
        fcntl(3, F_SETFD, FD_CLOEXEC);
        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        unsetenv("LISTEN_FDNAMES");
        return -1;
    }
    if (launch_is_listening(STDIN_FILENO)) {
        options->protocol = SWIFTGI_SERVE_FASTCGI;
        options->listener = STDIN_FILENO;
        return -1;
    }
    if (getenv("REQUEST_METHOD")) {
        options->protocol = SWIFTGI_SERVE_CGI;
        return -1;
    }
    fprintf(
        stderr,
        "%s: neither a web server nor systemd has started this; --fastcgi ADDRESS, --scgi ADDRESS "
        "or --cgi says how to serve, --help shows more\n",
        options->program);
    return SWIFTGI_EXIT_USAGE;
}

/* ---- the application ---- */

static const swiftgi_application_table *refuse(const launch_options *options, const char *what)
{
    launch_log(options, "critical", "SGI0353: %s cannot be run: %s", options->library, what);
    return NULL;
}

/* As mod_swiftgi loads it; and for ever, since Swift can't be unloaded. */
static const swiftgi_application_table *load(const launch_options *options)
{
    const swiftgi_application_table *(*entry)(void);
    char *path = realpath(options->library, NULL);
    struct stat status;
    void *handle;

    if (!path || stat(path, &status) != 0) {
        free(path);
        return refuse(options, strerror(errno));
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        free(path);
        return refuse(options, "it is writable by its group or by others; chmod go-w");
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    free(path);
    if (!handle) return refuse(options, dlerror());
    *(void **)&entry = dlsym(handle, SWIFTGI_APPLICATION_SYMBOL);
    if (!entry) return refuse(options, "it does not export " SWIFTGI_APPLICATION_SYMBOL);
    return entry();
}

/* Who is told how the process does, through a pipe. */
typedef struct watcher {
    int descriptor; /* -1: nobody */
    bool stays;     /* not only when it is ready */
} watcher;

static void tell(int descriptor, char what)
{
    ssize_t written;

    do {
        written = write(descriptor, &what, 1);
    } while (written < 0 && errno == EINTR);
}

static void tell_ready(void *context)
{
    watcher *w = context;

    if (w->descriptor < 0) return;
    tell(w->descriptor, 'r');
    if (w->stays) return;
    close(w->descriptor);
    w->descriptor = -1;
}

static void tell_reached(void *context, uint32_t limit)
{
    const watcher *w = context;

    tell(w->descriptor, limit == SWIFTGI_REACHED_INACTIVITY ? 'i' : 'm');
}

/* Each connection takes a descriptor, and the application wants some, too: as many as there may be
 * without asking anybody. */
static void raise_descriptor_limit(const launch_options *options)
{
    rlim_t wanted =
        (options->serve.max_connections ? options->serve.max_connections : 4096) + 1024;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int launch_serve(const launch_options *options, const swiftgi_application_table *table,
                 int ready)
{
    static const char mode[] = "daemon";
    swiftgi_serve_options serve = options->serve;
    const char *script_name = options->script_name;
    watcher supervisor = { .descriptor = ready, .stays = options->ready >= 0 };

    if (options->protocol != SWIFTGI_SERVE_CGI) raise_descriptor_limit(options);
    if (!table) table = load(options);
    if (!table) return SWIFTGI_EXIT_CANNOT_START;
    if (!swiftgi_application_is_usable(table) || !swiftgi_application_can_serve(table)) {
        launch_log(options, "critical",
                   "SGI0354: %s was built with another version of SwiftGI; build it anew",
                   options->library ? options->library : options->program);
        return SWIFTGI_EXIT_CANNOT_START;
    }
    serve.protocol = options->protocol;
    serve.listener = options->listener;
    serve.max_requests = options->max_requests;
    if (options->max_requests >= 10) {
        /* Processes that started together need not end together. */
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        srandom((unsigned)(getpid() ^ now.tv_nsec));
        serve.max_requests += (uint64_t)random() % (options->max_requests / 10 + 1);
    }
    if (script_name) serve.script_name = (swiftgi_bytes){ script_name, strlen(script_name) };
    if (options->checks_peer) serve.flags |= SWIFTGI_CHECK_PEER;
    if (options->processes > 1) serve.flags |= SWIFTGI_MULTIPROCESS;
    if (options->ready >= 0) {
        /* Its supervisor replaces it by another, beside which it ends. */
        serve.flags |= SWIFTGI_MULTIPROCESS;
        serve.mode = (swiftgi_bytes){ mode, sizeof(mode) - 1 };
        serve.reached = tell_reached;
    }
    if (options->board >= 0) {
        void *board = mmap(NULL, sizeof(swiftgi_board), PROT_READ | PROT_WRITE, MAP_SHARED,
                           options->board, 0);

        if (board != MAP_FAILED) serve.board = board;
    }
    serve.ready = tell_ready;
    serve.context = &supervisor;
    /* What is printed is to be seen when it is, not when a buffer is full. */
    if (options->protocol != SWIFTGI_SERVE_CGI) setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    return table->serve(table->application, &serve);
}

/* Web servers append the words of a query without "=" to a CGI program's arguments
 * (RFC 3875, section 4.4): the client's words are no arguments of ours. Returns how
 * many there are without them; 0: what there are can't be told from the client's. */
static int trusted_arguments(int argc, char *const argv[], bool has_table)
{
    const char *script = getenv("SCRIPT_FILENAME");
    struct stat ours, theirs;
    int i;

    if (!getenv("GATEWAY_INTERFACE") || !script) return argc;
    if (stat("/proc/self/exe", &ours) == 0 && stat(script, &theirs) == 0
        && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino) {
        return has_table ? 1 : 0;
    }
    /* What the script's first line says comes before its path. */
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], script)) return i + 1;
    }
    return argc;
}

int swiftgi_launch(int argc, char *const argv[], const void *table)
{
    static const char software[] = LAUNCH_SOFTWARE;
    launch_options options = { .listener = -1,
                               .socket_mode = -1,
                               .backlog = 65535,
                               .board = -1,
                               .ready = -1 };
    int status;

    options.program = argc > 0 ? argv[0] : "swiftgi-run";
    options.serve = (swiftgi_serve_options){ .abi = SWIFTGI_ABI_VERSION,
                                             .size = sizeof(swiftgi_serve_options),
                                             .listener = -1,
                                             .stop = -1,
                                             .software = { software, sizeof(software) - 1 } };
    argc = trusted_arguments(argc, argv, table != NULL);
    if (argc == 0) {
        options.protocol = SWIFTGI_SERVE_CGI;
        launch_log(
            &options, "critical",
            "SGI0350: this is no CGI program: make a script whose first line is #!%s LIBRARY",
            options.program);
        return SWIFTGI_EXIT_USAGE;
    }
    status = launch_parse(&options, argc, argv, table != NULL);
    if (status >= 0) return status;
    /* What the application starts has not to do with it. */
    if (options.ready >= 0) fcntl(options.ready, F_SETFD, FD_CLOEXEC);
    if (options.board >= 0) fcntl(options.board, F_SETFD, FD_CLOEXEC);
    if (!options.protocol) {
        status = recognise(&options);
        if (status >= 0) return status;
    }
    else if (options.address && !launch_listen(&options)) {
        launch_unlink(&options);
        return SWIFTGI_EXIT_CANNOT_START;
    }
    /* Who has started it with a socket of his own starts it anew, too. */
    if (!options.processes && options.max_requests && options.is_bound_here)
        options.processes = 1;
    if (options.processes) status = launch_supervise(&options, table);
    else status = launch_serve(&options, table, options.ready);
    launch_unlink(&options);
    return status;
}
