/* supervisor_backend.c: the daemons of one group and library: how many there should be, and
 * which of them has to go.
 *
 * A process that is to be replaced (another generation, a limit) serves until the one that
 * comes for it is ready. If that fails, it goes on serving. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The wait after the first failed start, doubled with each. */
#define FIRST_DELAY 100
#define LONGEST_DELAY 10000

/* Requests wait while processes start, but not for one that so often could not. */
#define STARTS_TO_WAIT_FOR 3

/* How many are turned away at a time. */
#define REFUSALS 64

/* Who has served for so long did not fail at the start. */
#define PROVEN 1000

/* A file that was written to within this time may not be complete; seconds. */
#define SETTLING_TIME 1

/* For a process that crashes to make its backtrace: the program can hang. */
#define BACKTRACE_TIME 60000

/* ---- messages ---- */

backend *backend_create(supervisor_backend *message, size_t size, int listener, int log)
{
    const char *text = (const char *)(message + 1), *end = (const char *)message + size;
    backend *b;
    size_t i, count;

    if (size <= sizeof(*message) || end[-1] != '\0' || message->variables > size
        || message->words > size || (listener < 0) != (message->words > 0)
        || (message->words > 0) != (message->listening != SUPERVISOR_SHARED)
        || message->group_count > SUPERVISOR_GROUPS_LIMIT || message->processes < 1) {
        return NULL;
    }
    count = SUPERVISOR_STRINGS + message->variables + message->words;
    b = calloc(1, sizeof(*b));
    if (b) b->variables = calloc(message->variables + message->words + 1, sizeof(char *));
    if (!b || !b->variables) {
        free(b);
        return NULL;
    }
    for (i = 0; i < count && text < end; i++) {
        if (i < SUPERVISOR_STRINGS) b->strings[i] = text;
        else b->variables[i - SUPERVISOR_STRINGS] = text;
        text += strlen(text) + 1;
    }
    if (i < count || text != end) {
        free(b->variables);
        free(b);
        return NULL;
    }
    b->settings = message;
    b->words = b->variables + message->variables;
    b->listener = listener;
    b->log = log;
    b->is_dormant = message->on_demand;
    if (stat(b->strings[SUPERVISOR_LIBRARY], &b->library) < 0) {
        memset(&b->library, 0, sizeof(b->library));
    }
    return b;
}

bool backend_is_same(const backend *a, const backend *b)
{
    if (http_is(a) != http_is(b)) return false;
    /* A group has one command, and another one in its place is a new generation. */
    return !strcmp(a->strings[SUPERVISOR_GROUP], b->strings[SUPERVISOR_GROUP])
           && (http_is(a)
               || !strcmp(a->strings[SUPERVISOR_LIBRARY], b->strings[SUPERVISOR_LIBRARY]));
}

static void free_settings(backend *b)
{
    /* The environment may have secrets. */
    for (size_t i = 0; i < b->settings->variables; i++) {
        explicit_bzero((char *)b->variables[i], strlen(b->variables[i]));
    }
    free(b->settings);
    free(b->variables);
    if (b->listener >= 0) close(b->listener);
    close(b->log);
}

void backend_update(backend *b, backend *other)
{
    free_settings(b);
    b->settings = other->settings;
    memcpy(b->strings, other->strings, sizeof(b->strings));
    b->variables = other->variables;
    b->words = other->words;
    b->listener = other->listener;
    b->log = other->log;
    b->library = other->library;
    b->is_dormant = b->is_dormant && other->is_dormant;
    b->is_leaving = false;
    free(other);
    backend_roll(b);
}

void backend_free(backend *b)
{
    if (http_is(b)) http_withdraw(b);
    free_settings(b);
    free(b);
}

/* ---- what should be ---- */

typedef struct count {
    unsigned current;  /* of this generation, and not to be replaced */
    unsigned starting; /* of these, those that do not serve yet */
    unsigned old;      /* to be replaced */
} count;

static bool is_current(const backend *b, const process *p)
{
    return p->generation == b->generation && !p->retiring && !p->is_crashing;
}

static count count_processes(const backend *b)
{
    count n = { 0, 0, 0 };
    const process *p;

    for (p = b->processes; p; p = p->next) {
        if (p->state == DRAINING || p->is_crashing) continue;
        if (!is_current(b, p)) n.old++;
        else {
            n.current++;
            n.starting += p->state == STARTING;
        }
    }
    return n;
}

static int64_t drain_patience(const backend *b)
{
    return (int64_t)(b->settings->drain_timeout + b->settings->shutdown_timeout);
}

/* Lets so many of the old go as the new can do without. */
static void retire(backend *b)
{
    count n = count_processes(b);
    unsigned serving = n.current - n.starting + n.old, wanted = b->settings->processes;
    process *p, *oldest;

    while (n.old > 0 && serving > wanted) {
        for (p = b->processes, oldest = NULL; p; p = p->next) {
            if (p->state == READY && !p->is_crashing && !is_current(b, p)) oldest = p;
        }
        if (!oldest) return;
        log_line(b, oldest->pid, LEVEL_INFO, "SGI0414: process is to end: %s",
                 oldest->retiring ? oldest->retiring : "a new generation replaces it");
        process_drain(oldest, drain_patience(b));
        n.old--;
        serving--;
    }
}

void backend_roll(backend *b)
{
    process *p;

    b->generation++;
    b->failures = b->vain = 0;
    b->not_before = 0;
    for (p = b->processes; p; p = p->next) {
        /* What does not serve yet need not begin to. */
        if (p->state == STARTING) process_drain(p, (int64_t)b->settings->shutdown_timeout);
    }
}

void backend_end(backend *b, int64_t patience)
{
    process *p;

    b->is_leaving = true;
    for (p = b->processes; p; p = p->next) process_drain(p, patience);
}

static void postpone(backend *b)
{
    int64_t delay = FIRST_DELAY;
    unsigned i;

    for (i = 0; i < b->failures && delay < LONGEST_DELAY; i++) delay *= 2;
    if (delay > LONGEST_DELAY) delay = LONGEST_DELAY;
    b->failures++;
    b->not_before = now() + delay;
}

static void start_missing(backend *b)
{
    count n = count_processes(b);

    while (n.current < b->settings->processes && now() >= b->not_before) {
        /* Of a rolling replacement one at a time: twice as many processes at once may be more
         * than the machine can take. */
        if (n.old > 0 && n.starting > 0) return;
        if (!process_start(b)) {
            b->vain++;
            postpone(b);
            return;
        }
        n.current++;
        n.starting++;
    }
}

static void note(int64_t *when, int64_t time)
{
    if (time && time < *when) *when = time;
}

static bool has_ready_process(const backend *b)
{
    const process *p = b->processes;

    while (p && (p->state != READY || p->is_crashing)) p = p->next;
    return p;
}

/* What was refused has not been read, which tells the module that it was not begun. */
void backend_refuse(backend *b)
{
    int i, connection;

    for (i = 0; i < REFUSALS; i++) {
        connection = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0) return;
        close(connection);
    }
}

static void decide_on_refusal(backend *b)
{
    bool refuses = b->vain >= STARTS_TO_WAIT_FOR && !has_ready_process(b);

    if (refuses && !b->is_refusing) {
        log_line(
            b, 0, LEVEL_ERROR,
            "SGI0424: no process of %s can be started, its requests are refused until one is "
            "ready",
            b->strings[SUPERVISOR_LIBRARY]);
    }
    b->is_refusing = refuses;
}

static void became_ready(backend *b, process *p);

/* HTTP servers do not say themselves what they do. */
static void maintain_servers(backend *b, int64_t *when)
{
    process *p;

    if (!http_is(b)) return;
    for (p = b->processes; p; p = p->next) {
        if (p->state == STARTING && http_is_ready(b, p, when)) became_ready(b, p);
    }
    http_publish(b);
    http_attend(b, when);
}

void backend_maintain(backend *b, int64_t *when)
{
    process *p;

    maintain_servers(b, when);
    for (p = b->processes; p; p = p->next) {
        if (p->deadline && now() >= p->deadline) {
            if (p->is_crashing) {
                log_line(b, p->pid, LEVEL_WARNING,
                         "SGI0418: the backtrace of the process takes too long, it is killed");
            }
            else if (p->state == STARTING) {
                log_line(b, p->pid, LEVEL_ERROR,
                         "SGI0412: process was not ready within startup-timeout, it is killed");
            }
            else if (p->state == DRAINING) {
                log_line(b, p->pid, LEVEL_WARNING,
                         "SGI0417: process did not end in time, it is killed");
            }
            if (p->state == STARTING) {
                b->vain++;
                postpone(b);
            }
            process_kill(p);
        }
        note(when, p->deadline);
    }
    if (b->is_leaving || b->is_dormant) return;
    decide_on_refusal(b);
    if (http_is(b)) http_publish(b);
    start_missing(b);
    if (count_processes(b).current < b->settings->processes) note(when, b->not_before);
}

/* ---- limits ---- */

static void ask_for_replacement(backend *b, process *p, const char *why)
{
    if (p->state != READY || p->retiring) return;
    p->retiring = why;
    log_line(b, p->pid, LEVEL_INFO, "SGI0413: process is to be replaced: %s", why);
}

static bool is_other_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size
           || a->st_mtim.tv_sec != b->st_mtim.tv_sec
           || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

void backend_inspect(backend *b, bool watches_library)
{
    struct stat present;
    process *p;
    time_t age;

    for (p = b->processes; p; p = p->next) {
        uint64_t rss;
        int64_t cpu;

        if (p->state != READY) continue;
        if (now() - p->became_ready >= PROVEN) b->failures = 0;
        if (p->retiring) continue;
        if (p->age_limit && now() >= p->age_limit) {
            ask_for_replacement(b, p, "restart-interval");
        }
        if ((!p->rss_limit && !p->cpu_limit) || !process_measure(p, &rss, &cpu)) continue;
        if (p->rss_limit && rss > p->rss_limit) ask_for_replacement(b, p, "max-rss");
        if (p->cpu_limit && cpu > p->cpu_limit) ask_for_replacement(b, p, "cpu-time-limit");
    }
    /* A file that is away is about to come back: it is not a new version. */
    if (!watches_library || b->is_leaving || stat(b->strings[SUPERVISOR_LIBRARY], &present) < 0
        || !is_other_file(&present, &b->library)) {
        return;
    }
    age = time(NULL) - present.st_mtim.tv_sec;
    if (age >= 0 && age <= SETTLING_TIME) return;
    b->library = present;
    log_line(b, 0, LEVEL_NOTICE,
             "SGI0415: SwiftGIReload: %s was replaced, its processes follow",
             b->strings[SUPERVISOR_LIBRARY]);
    backend_roll(b);
}

/* ---- what processes say ---- */

static void became_ready(backend *b, process *p)
{
    const supervisor_backend *settings = b->settings;

    b->vain = 0;
    p->state = READY;
    p->became_ready = now();
    p->deadline = 0;
    if (settings->restart_interval) {
        p->age_limit = p->became_ready + (int64_t)with_jitter(settings->restart_interval);
    }
    if (settings->max_rss) p->rss_limit = with_jitter(settings->max_rss);
    if (settings->cpu_time_limit) {
        p->cpu_limit = (int64_t)with_jitter(settings->cpu_time_limit);
    }
    log_line(b, p->pid, LEVEL_INFO, "SGI0411: process serves %s",
             b->strings[SUPERVISOR_LIBRARY]);
    retire(b);
}

void backend_hear(backend *b, process *p)
{
    switch (process_hear(p)) {
    case 'r':
        if (p->state == STARTING) became_ready(b, p);
        break;
    case 'm': ask_for_replacement(b, p, "maximum-requests"); break;
    case 'i': ask_for_replacement(b, p, "inactivity-timeout"); break;
    default: break;
    }
}

static void log_signal(const backend *b, const process *p, int number)
{
    char requests[1024];

    process_requests(p, requests, sizeof(requests));
    log_line(b, p->pid, LEVEL_ERROR, "SGI0421: process was killed by signal %d (%s)%s%s",
             number, strsignal(number), p->state == STARTING ? ", before it was ready" : "",
             requests);
}

/* The reason comes before the backtrace, and not a second time behind it. */
void backend_crashes(backend *b, process *p, int number)
{
    if (p->is_crashing || p->state == DRAINING) return;
    log_signal(b, p, number);
    p->is_crashing = true;
    p->deadline = now() + BACKTRACE_TIME;
}

/* ---- ends ---- */

static void unlink_process(backend *b, const process *p)
{
    process **link = &b->processes;

    while (*link && *link != p) link = &(*link)->next;
    if (*link) *link = p->next;
}

static void log_end(const backend *b, const process *p, int status, bool has_failed)
{
    char requests[1024];

    if (p->failure[0]) {
        log_line(b, p->pid, LEVEL_ERROR, "SGI0420: process could not be made: %s", p->failure);
    }
    else if (p->was_killed || p->is_crashing) {
        log_line(b, p->pid, LEVEL_INFO, "SGI0416: process has ended");
    }
    else if (WIFSIGNALED(status) && (has_failed || WTERMSIG(status) != SIGTERM)) {
        log_signal(b, p, WTERMSIG(status));
    }
    else if (WIFEXITED(status) && p->state == DRAINING
             && WEXITSTATUS(status) == SUPERVISOR_EXIT_UNFINISHED) {
        log_line(b, p->pid, LEVEL_WARNING,
                 "SGI0422: process has ended, some of its requests were not answered within "
                 "drain-timeout");
    }
    else if (p->state == STARTING
             /* Each program has its own for having been told to end. */
             || (!(http_is(b) && p->state == DRAINING) && WIFEXITED(status)
                 && WEXITSTATUS(status) != SUPERVISOR_EXIT_OK)) {
        process_requests(p, requests, sizeof(requests));
        log_line(b, p->pid, LEVEL_ERROR, "SGI0423: process ended with status %d%s%s%s",
                 WEXITSTATUS(status), p->state == STARTING ? ", before it was ready" : "",
                 requests,
                 WEXITSTATUS(status) == SUPERVISOR_EXIT_CANNOT_START
                     ? ": the application cannot be started, see the lines before"
                     : "");
    }
    else {
        log_line(b, p->pid, LEVEL_INFO, "SGI0416: process has ended");
    }
}

void backend_ended(backend *b, process *p, int status)
{
    bool has_failed = p->state != DRAINING;

    /* What it said last belongs before the line about its end. */
    while (p->ready >= 0 && process_hear(p)) continue;
    log_close(&p->standard, b, p->pid);
    log_close(&p->errors, b, p->pid);
    log_end(b, p, status, has_failed);
    unlink_process(b, p);
    if (p->state == STARTING) b->vain++;
    /* Who has served for a while is replaced at once. */
    if (has_failed && (p->state == STARTING || now() - p->became_ready < PROVEN)) postpone(b);
    process_free(p, b);
}
