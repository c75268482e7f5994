/* supervisor.h: the parts of the supervisor, a process beside httpd that starts, watches
 * and replaces daemons. One thread; it runs nothing of an application's. */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "supervisor_protocol.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct backend;

/* httpd's APLOG_ numbers. */
enum level {
    LEVEL_CRITICAL = 2,
    LEVEL_ERROR,
    LEVEL_WARNING,
    LEVEL_NOTICE,
    LEVEL_INFO,
    LEVEL_DEBUG
};

/* ---- supervisor_format.c ---- */

/* What there is to be said in a line. */
typedef struct format_parts {
    const char *server; /* ServerName */
    const char *group;  /* or NULL */
    pid_t pid;
    enum level level;
    const char *text;
    size_t count; /* of the text's bytes */
} format_parts;

/* Makes a line in an ErrorLogFormat; "": httpd's default. Returns how many bytes it has, none
 * of which is its end. */
size_t format_line(char *text, size_t size, const char *format, const format_parts *parts);

/* ---- supervisor_log.c ---- */

/* What a daemon prints, on its way to the log. */
typedef struct output {
    int descriptor; /* the end that is read from; -1: closed */
    enum level level;
    bool has_crashed;     /* a backtrace has begun in it */
    bool is_cut;          /* the line that is read has been logged in part */
    enum level cut_level; /* at this level */
    size_t length;
    char text[4096]; /* a line that is not complete */
} output;

/* Where lines go that concern no group, in which ErrorLogFormat, for which server, and up to
 * which level. The texts are copied. */
void log_set(int descriptor, int level, const char *format, const char *server);

int log_level(void);

/* Logs a line. `backend` NULL: to the main log; `pid` 0: this process's. */
void log_line(const struct backend *backend, pid_t pid, enum level level, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* Reads what there is and logs each line of it. Not 0, once: the signal by which the process has
 * crashed, whose backtrace begins in what was read; that is logged by the next call. */
int log_output(output *out, const struct backend *backend, pid_t pid);

/* Logs what is left and closes. */
void log_close(output *out, const struct backend *backend, pid_t pid);

/* ---- supervisor_process.c ---- */

enum state {
    STARTING, /* it has not said yet that it serves */
    READY,
    DRAINING /* it was told to end, or is about to */
};

/* Where an HTTP server listens, and what is known about it. */
typedef struct endpoint {
    char text[108];   /* as it is published; "": the process is no HTTP server */
    unsigned port;    /* 0: it is a Unix socket */
    int probe;        /* a connection that asks whether it serves; -1: none */
    bool was_asked;   /* through it */
    size_t length;    /* of what was answered */
    char answer[16];  /* the begin of it */
    bool was_refused; /* the log says why it is not used */
    int64_t next;     /* when to look again */
    bool was_told;    /* to end */
    int64_t tell_at;  /* whoever is connected still */
    int64_t patience; /* from then on */
} endpoint;

/* One daemon. Times are of now(). */
typedef struct process {
    struct process *next;
    pid_t pid;
    enum state state;
    unsigned generation;
    const char *retiring; /* why it is to be replaced; NULL: it is not */
    bool was_killed;      /* by us, for being late */
    bool is_crashing;     /* it makes its backtrace */
    int ready;            /* the pipe it speaks through; -1: closed */
    const char *board;    /* where it writes which requests it serves */
    output standard, errors;
    int64_t started, became_ready;
    int64_t deadline; /* when it is killed; 0: never */
    int64_t age_limit, cpu_limit;
    uint64_t rss_limit;
    char failure[200]; /* what went wrong before it was itself */
    endpoint address;
} process;

/* Milliseconds of a clock that never goes back. */
int64_t now(void);

/* Up to a tenth of `limit` more, so that processes that began together do not end together. */
uint64_t with_jitter(uint64_t limit);

/* Starts another process of the backend's; false if the system would not. */
bool process_start(struct backend *b);

/* Tells it to end, and kills it if it does not within `patience`; from then on it counts as
 * gone. */
void process_drain(process *p, int64_t patience);

/* Kills it and what it started, unless they have left its process group. */
void process_kill(process *p);

/* Reads what it says through the pipe; 0 if nothing came. 'e' leaves `failure`. */
char process_hear(process *p);

/* Its resident bytes and its milliseconds of processor time; false if it is gone. */
bool process_measure(const process *p, uint64_t *rss, int64_t *cpu);

/* Which requests it serves, as words behind a line about its end; "" if it serves none. */
void process_requests(const process *p, char *text, size_t size);

void process_free(process *p, const struct backend *b);

/* ---- supervisor_http.c ---- */

/* Whether its processes are HTTP servers. */
bool http_is(const struct backend *b);

/* Finds an address for a process that is about to be started; false if there is none to be had. */
bool http_prepare(const struct backend *b, process *p);

/* Between fork and exec: gives a word or a variable the address, in memory that nobody frees;
 * NULL without memory. */
char *http_expand(const process *p, const char *text);

/* Whether a process that is starting serves now; says when to look again. */
bool http_is_ready(const struct backend *b, process *p, int64_t *when);

/* Plans the end of a process: it is told when nobody is connected any more, or so much before
 * `deadline` that it has the time to end. */
void http_drain(process *p, int64_t deadline);

/* Tells the processes to end for which the time has come, and says when to look again. */
void http_attend(struct backend *b, int64_t *when);

/* Makes the links say which processes are ready. */
void http_publish(struct backend *b);

/* Removes the links. */
void http_withdraw(struct backend *b);

/* Removes what an address has in the file system. */
void http_release(process *p);

/* ---- supervisor_backend.c ---- */

/* The daemons of a group that run a library. */
typedef struct backend {
    struct backend *next;
    supervisor_backend *settings; /* the message */
    const char *strings[SUPERVISOR_STRINGS];
    const char **variables; /* an array of its own, of strings in the message */
    const char **words;     /* in the same array, ended by NULL */
    int listener, log;
    unsigned generation;
    bool is_leaving;  /* it is not in the configuration any more */
    bool is_dormant;  /* nobody has connected yet */
    bool was_matched; /* while configurations are compared */
    process *processes;
    struct stat library; /* the version that this generation runs */
    unsigned failures;   /* in a row: deaths at the start, or soon behind it */
    unsigned vain;       /* starts in a row that came to nothing */
    int64_t not_before;  /* when the next start may be */
    bool is_refusing;    /* requests, since no process serves and none could be started */
    uint64_t published;  /* a digest of the links; 0: there are none yet */
    unsigned links;
} backend;

/* Makes a backend of a message, of which it takes the memory and the descriptors; NULL, and
 * nothing taken, if it makes no sense. */
backend *backend_create(supervisor_backend *message, size_t size, int listener, int log);

/* Takes the settings of another, which is freed, and begins a new generation. */
void backend_update(backend *b, backend *other);

bool backend_is_same(const backend *a, const backend *b);

void backend_free(backend *b);

/* Replaces all its processes, one by one. */
void backend_roll(backend *b);

/* Ends all its processes. */
void backend_end(backend *b, int64_t patience);

/* Starts, ends and kills what is due, and says when to look again: the least of `*when` and
 * that. */
void backend_maintain(backend *b, int64_t *when);

/* Once a second: whether limits are exceeded, and whether the library was replaced. */
void backend_inspect(backend *b, bool watches_library);

/* Turns away who waits for a process. */
void backend_refuse(backend *b);

/* The process has said something through its pipe. */
void backend_hear(backend *b, process *p);

/* It has crashed by the signal and makes its backtrace: it needs a successor. */
void backend_crashes(backend *b, process *p, int number);

/* The process, which is not reaped yet, has ended. Frees it. */
void backend_ended(backend *b, process *p, int status);

#endif /* SUPERVISOR_H */
