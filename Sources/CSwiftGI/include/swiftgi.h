/* swiftgi.h: the binary interface between a server and a SwiftGI application.
 *
 * An application is a shared library that exports one function,
 * swiftgi_application(). It returns a table that the server calls; the server
 * hands the application a table of its own in start(). Everything else that
 * crosses between the two does so through these tables, as C.
 *
 * Compatibility. `abi` is raised when something that exists changes its
 * meaning; a server refuses an application of another number. New members are
 * appended, and each side looks at the other's `size` before it touches a
 * member that was added later.
 *
 * Memory. Bytes travel as a pointer and a count, without a terminating zero.
 * Nobody keeps the other's pointer longer than the comment on it allows.
 *
 * Threads. start() and stop() are called once each, on any thread.
 * handle() may be called on many threads at a time if SWIFTGI_MULTITHREAD is
 * set. A function that takes a swiftgi_request may be called only while that
 * request's handle() or resume() runs and only on the thread that runs it;
 * log() with a NULL request, wake() and release() may be called on any thread
 * at any time.
 *
 * No function of either table unwinds: errors are return values.
 */
#ifndef SWIFTGI_H
#define SWIFTGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of everything below. */
#define SWIFTGI_ABI_VERSION 1

/* The symbol that an application library exports. */
#define SWIFTGI_APPLICATION_SYMBOL "swiftgi_application"

/* Bytes that belong to somebody else. `start` may be NULL if `count` is 0. */
typedef struct swiftgi_bytes {
    const void *start;
    size_t count;
} swiftgi_bytes;

/* What a call came to. A server maps the result of handle() to what its client
 * gets; an application maps the results of the server's functions to errors.
 * Values are only ever added. */
typedef enum swiftgi_status {
    SWIFTGI_OK = 0,
    /* The client went away, or, from write(), is to get nothing more of the body. Not
     * an error of either side. */
    SWIFTGI_CLIENT_GONE = 1,
    /* The application failed. From handle(): 500, or the response is aborted
     * if its head was sent. From start(): the application does not run. */
    SWIFTGI_FAILED = 2,
    /* The argument or the moment is wrong: a field with control characters, a
     * status outside 200 to 599, a head after the head. */
    SWIFTGI_MISUSE = 3,
    /* The request body is larger than the server's or the application's
     * limit: 413. */
    SWIFTGI_TOO_LARGE = 4,
    /* The request body is malformed or ends too early: 400. */
    SWIFTGI_BAD_REQUEST = 5,
    /* The client sent nothing for too long: 408. */
    SWIFTGI_TIMED_OUT = 6,
    /* The server could not do it (out of memory, a disk error): 500. */
    SWIFTGI_SERVER_ERROR = 7,
    /* From wait(): handle() or resume() has to return the same, and the server
     * will call resume(). */
    SWIFTGI_SUSPENDED = 8,
    /* From try_read(): nothing has come yet. From write() with
     * SWIFTGI_NONBLOCKING: taken, but some of it has still to leave. */
    SWIFTGI_AGAIN = 9,
    /* From handle() or resume(): the time for the request was over: 504. */
    SWIFTGI_EXPIRED = 10,
    /* From handle() or resume(): the server ends: 503. */
    SWIFTGI_STOPPED = 11
} swiftgi_status;

/* Severity of a log line, from the most severe; httpd's scale. */
typedef enum swiftgi_level {
    SWIFTGI_LOG_CRITICAL = 2,
    SWIFTGI_LOG_ERROR = 3,
    SWIFTGI_LOG_WARNING = 4,
    SWIFTGI_LOG_NOTICE = 5,
    SWIFTGI_LOG_INFO = 6,
    SWIFTGI_LOG_DEBUG = 7,
    SWIFTGI_LOG_TRACE = 8
} swiftgi_level;

/* swiftgi_server.flags */
enum {
    /* handle() may be called on several threads of this process at a time. */
    SWIFTGI_MULTITHREAD = 1,
    /* Other processes may run the same application at the same time. */
    SWIFTGI_MULTIPROCESS = 2,
    /* This process serves one request only. */
    SWIFTGI_RUN_ONCE = 4
};

/* swiftgi_server.write() and send_file(), `flags` */
enum {
    /* Send it on now, together with all that came before it. */
    SWIFTGI_FLUSH = 1,
    /* Nothing follows: the response is complete. */
    SWIFTGI_LAST = 2,
    /* The bytes stay where they are, unchanged, until the process ends. */
    SWIFTGI_IMMORTAL = 4,
    /* send_file(): the descriptor passes to the server, which closes it, also
     * when the call fails. Without it the server duplicates it. */
    SWIFTGI_OWNED = 8,
    /* write(): does not wait for the client. SWIFTGI_AGAIN then asks the
     * application to wait for SWIFTGI_WRITABLE before it writes more. */
    SWIFTGI_NONBLOCKING = 16
};

/* What wait() waits for, and what came. */
enum {
    /* The waker was used. */
    SWIFTGI_WOKEN = 1,
    /* try_read() may have something. */
    SWIFTGI_READABLE = 2,
    /* All that was written is on its way. */
    SWIFTGI_WRITABLE = 4,
    /* What was waited for did not come within the server's time limit for a
     * connection. */
    SWIFTGI_STALLED = 8,
    /* The server wants to end; told once. The request may finish, within the
     * server's grace period. */
    SWIFTGI_STOPPING = 16,
    /* The client went away. */
    SWIFTGI_GONE = 32,
    /* The time for the request is over. */
    SWIFTGI_DEADLINE = 64,
    /* The server's grace period is over. */
    SWIFTGI_SHUTDOWN = 128,
    /* The request ends now: resume() must not return SWIFTGI_SUSPENDED. Comes
     * with one of the three above it. */
    SWIFTGI_ABANDONED = 256,
    /* wait() does not wait, and needs no waker: it returns SWIFTGI_OK, and what of
     * SWIFTGI_STOPPING to SWIFTGI_SHUTDOWN has come. For a request that is busy. */
    SWIFTGI_POLL = 512
};

/* One request. What it is, the server knows. */
typedef struct swiftgi_request swiftgi_request;

/* Brings a request that waits back, from any thread. */
typedef struct swiftgi_waker swiftgi_waker;

/* Called for each name and value, both valid during the call only. */
typedef void (*swiftgi_visitor)(void *context, swiftgi_bytes name, swiftgi_bytes value);

/* What a request begins with. */
typedef struct swiftgi_line {
    swiftgi_bytes method;
    swiftgi_bytes scheme;
    swiftgi_bytes target; /* the path with the query, as it came */
} swiftgi_line;

/* What a server gives an application. Made by the server, one for each
 * application and process; constant and valid from start() until the process
 * ends. */
typedef struct swiftgi_server {
    uint32_t abi;           /* SWIFTGI_ABI_VERSION */
    uint32_t flags;         /* SWIFTGI_MULTITHREAD, … */
    size_t size;            /* sizeof(swiftgi_server) */
    void *host;             /* the server's own */
    swiftgi_bytes mode;     /* "embedded", "daemon", "fastcgi", "scgi", "cgi" */
    swiftgi_bytes software; /* name and version for people, UTF-8 */
    swiftgi_level level;    /* nothing less severe is logged by anyone */

    /* One CGI variable (RFC 3875, section 4.1) or a variable that the server's
     * configuration set. false: there is none of that name. `value` is valid
     * until handle() returns and need not be UTF-8. */
    bool (*variable)(swiftgi_request *request, swiftgi_bytes name, swiftgi_bytes *value);

    /* All variables, in no particular order, each name once. */
    void (*variables)(swiftgi_request *request, swiftgi_visitor visit, void *context);

    /* The header fields as the server has them: in their order and spelling,
     * repetitions apart unless the server joins them (httpd does). */
    void (*fields)(swiftgi_request *request, swiftgi_visitor visit, void *context);

    /* Reads up to `capacity` bytes (1 or more) of the request body and stores
     * how many came in `count`; waits until there is at least one. 0 is the
     * end of the body, again and again. The first call answers the client's
     * "Expect: 100-continue". */
    swiftgi_status (*read)(swiftgi_request *request, void *buffer, size_t capacity,
                           size_t *count);

    /* Begins the head of the response. `status` is 200 to 599; `reason` may be
     * empty; `length` is the length of the body, or -1 if it is not known.
     * Nothing is sent yet, and a second call starts the head again as long as
     * nothing was sent. */
    swiftgi_status (*start)(swiftgi_request *request, uint16_t status, swiftgi_bytes reason,
                            int64_t length);

    /* Adds a field to the head. Both are copied. */
    swiftgi_status (*field)(swiftgi_request *request, swiftgi_bytes name, swiftgi_bytes value);

    /* A piece of the body, after start(). The first piece, or the first with
     * SWIFTGI_FLUSH or SWIFTGI_LAST, sends the head. The bytes are the server's during
     * the call only, unless SWIFTGI_IMMORTAL. */
    swiftgi_status (*write)(swiftgi_request *request, swiftgi_bytes piece, uint32_t flags);

    /* A part of a regular file, `length` bytes (1 or more), as a piece of the
     * body, sent without a copy where the system can. It must not shrink before
     * it was sent. */
    swiftgi_status (*send_file)(swiftgi_request *request, int descriptor, int64_t offset,
                                int64_t length, uint32_t flags);

    /* Whether the client is known to be gone. Costs a system call. */
    bool (*is_client_gone)(swiftgi_request *request);

    /* One message to the error log, UTF-8 text of any number of lines. With a
     * request: to its virtual host's log, naming the request. With NULL: the
     * same for the request that this thread serves, if it serves one, else to
     * the main log. */
    void (*log)(const struct swiftgi_server *server, swiftgi_request *request,
                swiftgi_level level, swiftgi_bytes message);

    /* ---- for applications that wait: see swiftgi_server_can_wait() ---- */

    /* As read(), without waiting: SWIFTGI_AGAIN if nothing has come yet. */
    swiftgi_status (*try_read)(swiftgi_request *request, void *buffer, size_t capacity,
                               size_t *count);

    /* Sends the informational response that start(), with a status of 100 to
     * 199, and field() have described; nothing to a client that does not know
     * them. Then the head can be started. */
    swiftgi_status (*inform)(swiftgi_request *request);

    /* Adds a field behind the body, before the piece with SWIFTGI_LAST. Both
     * are copied. Left out where the protocol has no place for it. */
    swiftgi_status (*trailer)(swiftgi_request *request, swiftgi_bytes name,
                              swiftgi_bytes value);

    /* The fields behind the body of the request; none before its end was read. */
    void (*trailers)(swiftgi_request *request, swiftgi_visitor visit, void *context);

    /* The request's waker, with one reference more for the caller; NULL if there
     * is none to be had. */
    swiftgi_waker *(*waker)(swiftgi_request *request);

    /* Ends a wait of the request that the waker is from, or the next one if it
     * does not wait; nothing if the request is over. */
    void (*wake)(swiftgi_waker *waker);

    /* Gives back a reference. */
    void (*release)(swiftgi_waker *waker);

    /* Waits until the waker was used, one of the events of `interest` or
     * one that ends the request has come.
     * SWIFTGI_OK: waited, and `events` says what came.
     * SWIFTGI_SUSPENDED: the request is put aside. The caller returns
     * SWIFTGI_SUSPENDED without touching the request again, and resume() is
     * called with `task` when there is something.
     * Called after waker(). */
    swiftgi_status (*wait)(swiftgi_request *request, void *task, uint32_t interest,
                           uint32_t *events);

    /* ---- appended later: see swiftgi_server_has_line() ---- */

    /* What variable() says of REQUEST_METHOD, REQUEST_SCHEME and REQUEST_URI, in
     * one call. Valid until handle() returns. */
    void (*line)(swiftgi_request *request, swiftgi_line *line);
} swiftgi_server;

/* The protocol that serve() speaks. */
enum {
    /* One request, by environment and standard streams (RFC 3875). */
    SWIFTGI_SERVE_CGI = 1,
    SWIFTGI_SERVE_FASTCGI = 2,
    SWIFTGI_SERVE_SCGI = 3
};

/* What serve() returns; made for exit(). */
enum {
    /* Told to end, or after the last request that it was to serve; all were answered. */
    SWIFTGI_EXIT_OK = 0,
    /* The options make no sense. */
    SWIFTGI_EXIT_USAGE = 64,
    /* The application or the server could not be started: to try again at once is of no use. */
    SWIFTGI_EXIT_CANNOT_START = 69,
    /* CGI: the request failed. */
    SWIFTGI_EXIT_FAILED = 70,
    /* Told to end, and some requests were not answered in time. */
    SWIFTGI_EXIT_UNFINISHED = 75
};

/* swiftgi_serve_options.flags, beside SWIFTGI_MULTIPROCESS */
enum {
    /* Only the user `peer` and root may connect to a Unix socket. */
    SWIFTGI_CHECK_PEER = 256
};

/* Limits that serve() reports through `reached`. */
enum {
    /* `max_requests` requests were begun. */
    SWIFTGI_REACHED_MAX_REQUESTS = 1,
    /* Some requests were served, and then none within `inactivity_timeout`. */
    SWIFTGI_REACHED_INACTIVITY = 2
};

/* Memory that a server shares with whoever watches its process, who reads there what was served
 * when it died. */
#define SWIFTGI_BOARD_PLACES 1024
#define SWIFTGI_BOARD_PLACE_SIZE 64

typedef struct swiftgi_board {
    /* The ids of requests, a thread each; one that begins with NUL: none. */
    char requests[SWIFTGI_BOARD_PLACES][SWIFTGI_BOARD_PLACE_SIZE];
} swiftgi_board;

/* How an application serves by itself. Members that are 0 or NULL stand for the default. */
typedef struct swiftgi_serve_options {
    uint32_t abi;      /* SWIFTGI_ABI_VERSION */
    uint32_t flags;    /* SWIFTGI_MULTIPROCESS, SWIFTGI_CHECK_PEER */
    size_t size;       /* sizeof(swiftgi_serve_options) */
    uint32_t protocol; /* SWIFTGI_SERVE_FASTCGI, … */
    int listener;      /* a listening socket, which stays the caller's; not for CGI */
    int stop;          /* becomes readable when serving is to end; -1: SIGTERM and SIGINT say
                                  so, which serve() blocks and takes itself */
    uint32_t threads;  /* requests of the gateway contract at a time: 8 */
    uint32_t max_connections; /* at a time: 4096 */
    uint32_t level;           /* swiftgi_level: notice */
    uint64_t max_requests;    /* serving ends after so many: never */
    uint64_t max_body;        /* bytes of a request's body: any number */
    uint32_t io_timeout;      /* milliseconds for a peer to send or take something: 60000 */
    uint32_t header_timeout;  /* milliseconds for a peer to send a request's variables: 20000 */
    uint32_t request_timeout; /* milliseconds for an asynchronous handler: any number */
    uint32_t grace;           /* milliseconds for requests when serving is to end: 30000 */
    swiftgi_bytes mode;       /* as swiftgi_server.mode: the protocol's name */
    swiftgi_bytes software;   /* as swiftgi_server.software */
    swiftgi_bytes script_name; /* where the application is mounted: as the web server says */
    /* Called once, when requests are served, on the thread that called serve(). */
    void (*ready)(void *context);
    void *context;
    /* What follows is there if `size` says so. */
    uint32_t inactivity_timeout; /* milliseconds without a request, after one or more, until
                                    serving ends: any number */
    uint32_t peer;               /* user id, with SWIFTGI_CHECK_PEER */
    /* Called with `context` when a limit is reached, once for each, on any thread: serving goes
     * on, for whoever it is told to replace the process. NULL: serving ends instead. */
    void (*reached)(void *context, uint32_t limit);
    swiftgi_board *board; /* NULL: nobody wants to know */
} swiftgi_serve_options;

/* What an application gives a server. Constant and valid until the process
 * ends. */
typedef struct swiftgi_application_table {
    uint32_t abi;           /* SWIFTGI_ABI_VERSION */
    uint32_t flags;         /* 0 */
    size_t size;            /* sizeof(swiftgi_application_table) */
    void *application;      /* the application's own, first argument of each call */
    swiftgi_bytes name;     /* for logs, UTF-8 */
    swiftgi_bytes compiler; /* the compiler's build: two libraries that share one
                               Swift runtime must agree on it */

    /* Makes the application. Called once in each process, before anything
     * else, after the process took on the user that it will run as, and never
     * in a process that forks afterwards. Other than SWIFTGI_OK: the reason
     * was logged, and nothing else is called. */
    swiftgi_status (*start)(void *application, const swiftgi_server *server);

    /* Serves one request, on the calling thread, and returns when it is done
     * with it. SWIFTGI_OK: the response is complete. */
    swiftgi_status (*handle)(void *application, swiftgi_request *request);

    /* Ends the application after its last request, within `grace` milliseconds.
     * Callable from a signal handler. */
    void (*stop)(void *application, uint32_t grace);

    /* Goes on with a request that was suspended, on the calling thread; result as
     * handle()'s. An application that never calls wait() need not have it. */
    swiftgi_status (*resume)(void *application, swiftgi_request *request, void *task,
                             uint32_t events);

    /* Serves requests by itself, until it is told to stop: in place of start(), handle() and
     * stop(), once in a process, which ends afterwards with the result as its status. What goes
     * wrong is on standard error. The options are read during the call only. */
    int (*serve)(void *application, const swiftgi_serve_options *options);
} swiftgi_application_table;

/* The one export of an application library, called once in a process. Starts
 * nothing and allocates little; NULL if it can't. */
const swiftgi_application_table *swiftgi_application(void);

/* Whether the other side's table is of this version and has all of its members.
 * Those that are appended later are asked for by `size`. */
static inline bool swiftgi_server_is_usable(const swiftgi_server *server)
{
    return server && server->abi == SWIFTGI_ABI_VERSION
           && server->size >= offsetof(swiftgi_server, log) + sizeof(server->log);
}

static inline bool swiftgi_application_is_usable(const swiftgi_application_table *table)
{
    return table && table->abi == SWIFTGI_ABI_VERSION
           && table->size >= offsetof(swiftgi_application_table, stop) + sizeof(table->stop);
}

/* Whether the server has all that an application needs to wait. */
static inline bool swiftgi_server_can_wait(const swiftgi_server *server)
{
    return server->size >= offsetof(swiftgi_server, wait) + sizeof(server->wait);
}

/* Whether the server has line(). */
static inline bool swiftgi_server_has_line(const swiftgi_server *server)
{
    return server->size >= offsetof(swiftgi_server, line) + sizeof(server->line)
           && server->line;
}

/* Whether the application's requests may be suspended. */
static inline bool swiftgi_application_can_resume(const swiftgi_application_table *table)
{
    return table->size >= offsetof(swiftgi_application_table, resume) + sizeof(table->resume)
           && table->resume;
}

/* Whether the application can serve by itself. */
static inline bool swiftgi_application_can_serve(const swiftgi_application_table *table)
{
    return table->size >= offsetof(swiftgi_application_table, serve) + sizeof(table->serve)
           && table->serve;
}

/* The build of the compiler that reads this header. */
static inline swiftgi_bytes swiftgi_compiler(void)
{
    static const char version[] = __VERSION__;
    swiftgi_bytes bytes = { version, sizeof(version) - 1 };
    return bytes;
}

#ifdef __cplusplus
}
#endif

#endif /* SWIFTGI_H */
