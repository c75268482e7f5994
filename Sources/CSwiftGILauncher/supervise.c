/* supervise.c: the parent of the processes that serve. It runs nothing of the application's; it
 * starts, watches, replaces and stops. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds. */
#define FIRST_DELAY 100
#define LONGEST_DELAY 10000
/* Who has served so long has not failed at the start. */
#define PROVEN 10000

typedef struct worker {
    pid_t pid; /* 0: none */
    int ready; /* readable when it serves, -1 when it does */
    unsigned generation;
    bool is_leaving;
    int64_t start;
} worker;

typedef struct supervisor {
    launch_options *options;
    const swiftgi_application_table *table;
    worker *workers; /* one more for each that is replaced */
    size_t capacity;
    unsigned generation;
    int signals;
    sigset_t mask, old_mask;
    bool is_stopping, has_served;
    int status;
    int64_t delay, not_before;
} supervisor;

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- processes ---- */

static void start_worker(supervisor *s, worker *w)
{
    pid_t parent = getpid(), pid;
    int ends[2];
    size_t i;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        launch_log(s->options, "error", "SGI0355: process could not be started: %s",
                   strerror(errno));
        s->not_before = now() + LONGEST_DELAY;
        return;
    }
    pid = fork();
    if (pid == 0) {
        /* Not to be left behind. */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(SWIFTGI_EXIT_OK);
        close(ends[0]);
        close(s->signals);
        for (i = 0; i < s->capacity; i++) {
            if (s->workers[i].pid && s->workers[i].ready >= 0) close(s->workers[i].ready);
        }
        signal(SIGHUP, SIG_IGN);
        sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
        exit(launch_serve(s->options, s->table, ends[1]));
    }
    close(ends[1]);
    if (pid < 0) {
        launch_log(s->options, "error", "SGI0355: process could not be started: %s",
                   strerror(errno));
        close(ends[0]);
        s->not_before = now() + LONGEST_DELAY;
        return;
    }
    *w = (worker){ .pid = pid, .ready = ends[0], .generation = s->generation, .start = now() };
}

static size_t count(const supervisor *s, bool current, bool starting)
{
    size_t i, n = 0;

    for (i = 0; i < s->capacity; i++) {
        const worker *w = &s->workers[i];

        if (!w->pid || w->is_leaving) continue;
        if (current && w->generation != s->generation) continue;
        if (starting && w->ready < 0) continue;
        n++;
    }
    return n;
}

static worker *free_slot(supervisor *s)
{
    size_t i;

    for (i = 0; i < s->capacity; i++) {
        if (!s->workers[i].pid) return &s->workers[i];
    }
    return NULL;
}

/* Has as many processes of this generation as there should be; of an older one, others go one by
 * one as these are ready. */
static void maintain(supervisor *s)
{
    size_t wanted = (size_t)s->options->processes;
    bool is_rolling = count(s, false, false) > count(s, true, false);

    while (!s->is_stopping && count(s, true, false) < wanted && now() >= s->not_before) {
        worker *w = free_slot(s);

        if (!w || (is_rolling && count(s, true, true) > 0)) return;
        start_worker(s, w);
        if (!w->pid) return;
    }
}

static void leave(worker *w)
{
    w->is_leaving = true;
    kill(w->pid, SIGTERM);
}

static void retire_old(supervisor *s)
{
    size_t i;

    for (i = 0; i < s->capacity; i++) {
        worker *w = &s->workers[i];

        if (w->pid && !w->is_leaving && w->generation != s->generation) {
            leave(w);
            return;
        }
    }
}

static void became_ready(supervisor *s, worker *w)
{
    char byte;
    ssize_t length = read(w->ready, &byte, 1);

    if (length < 0 && (errno == EINTR || errno == EAGAIN)) return;
    close(w->ready);
    w->ready = -1;
    /* Without a byte it has died, which is told by SIGCHLD. */
    if (length != 1) return;
    s->has_served = true;
    launch_log(s->options, "info", "SGI0356: process %d serves", (int)w->pid);
    retire_old(s);
}

static void stop_all(supervisor *s, int signal)
{
    size_t i;

    s->is_stopping = true;
    for (i = 0; i < s->capacity; i++) {
        if (s->workers[i].pid) {
            s->workers[i].is_leaving = true;
            kill(s->workers[i].pid, signal);
        }
    }
}

/* ---- ends ---- */

static void ended(supervisor *s, worker *w, int status)
{
    bool was_leaving = w->is_leaving;
    /* Who is told to end before he serves ends by the signal itself. */
    bool is_clean = (WIFEXITED(status) && WEXITSTATUS(status) == SWIFTGI_EXIT_OK)
                    || (was_leaving && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    bool is_proven = now() - w->start > PROVEN;
    int pid = (int)w->pid;

    if (w->ready >= 0) close(w->ready);
    memset(w, 0, sizeof(*w));
    if (is_clean) {
        s->delay = 0;
        return;
    }
    if (WIFSIGNALED(status)) {
        launch_log(s->options, "error", "SGI0357: process %d died of signal %d (%s)", pid,
                   WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    else {
        launch_log(s->options, was_leaving ? "warning" : "error",
                   "SGI0358: process %d ended with status %d", pid, WEXITSTATUS(status));
    }
    if (was_leaving) return;
    if (!s->has_served) {
        /* What can't start the first time will not the second. */
        s->status = WIFEXITED(status) ? WEXITSTATUS(status) : SWIFTGI_EXIT_CANNOT_START;
        stop_all(s, SIGTERM);
        return;
    }
    if (is_proven) s->delay = 0;
    s->delay = s->delay ? s->delay * 2 : FIRST_DELAY;
    if (s->delay > LONGEST_DELAY) s->delay = LONGEST_DELAY;
    s->not_before = now() + s->delay;
}

static void reap(supervisor *s)
{
    int status;
    pid_t pid;
    size_t i;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (i = 0; i < s->capacity; i++) {
            if (s->workers[i].pid == pid) ended(s, &s->workers[i], status);
        }
    }
}

/* ---- signals ---- */

static void handle_signal(supervisor *s, int number)
{
    switch (number) {
    case SIGCHLD: reap(s); break;
    case SIGHUP:
        if (s->is_stopping) break;
        launch_log(s->options, "notice", "SGI0359: all processes are replaced");
        s->generation++;
        s->delay = s->not_before = 0;
        break;
    default:
        /* The second time it is meant. */
        stop_all(s, s->is_stopping ? SIGKILL : SIGTERM);
        break;
    }
}

static void wait_for_something(supervisor *s)
{
    struct pollfd entries[2 * 1024 + 1];
    worker *owners[2 * 1024 + 1];
    nfds_t i, n = 1;
    int64_t left = s->not_before - now();
    int timeout = !s->is_stopping && left > 0 ? (int)left : -1;
    struct signalfd_siginfo info;

    entries[0] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
    for (i = 0; i < s->capacity; i++) {
        if (s->workers[i].pid && s->workers[i].ready >= 0) {
            owners[n] = &s->workers[i];
            entries[n++] = (struct pollfd){ .fd = s->workers[i].ready, .events = POLLIN };
        }
    }
    if (poll(entries, n, timeout) <= 0) return;
    for (i = 1; i < n; i++) {
        if (entries[i].revents) became_ready(s, owners[i]);
    }
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        handle_signal(s, (int)info.ssi_signo);
    }
}

int launch_supervise(launch_options *options, const swiftgi_application_table *table)
{
    supervisor s = { .options = options, .table = table, .status = SWIFTGI_EXIT_OK };
    size_t i, alive;

    s.capacity = 2 * (size_t)options->processes;
    s.workers = calloc(s.capacity, sizeof(*s.workers));
    sigemptyset(&s.mask);
    sigaddset(&s.mask, SIGCHLD);
    sigaddset(&s.mask, SIGTERM);
    sigaddset(&s.mask, SIGINT);
    sigaddset(&s.mask, SIGHUP);
    if (!s.workers || sigprocmask(SIG_BLOCK, &s.mask, &s.old_mask) != 0
        || (s.signals = signalfd(-1, &s.mask, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        launch_log(options, "critical", "SGI0355: process could not be started: %s",
                   strerror(errno));
        free(s.workers);
        return SWIFTGI_EXIT_CANNOT_START;
    }
    do {
        maintain(&s);
        wait_for_something(&s);
        for (i = 0, alive = 0; i < s.capacity; i++) alive += s.workers[i].pid != 0;
    } while (!s.is_stopping || alive > 0);
    close(s.signals);
    free(s.workers);
    return s.status;
}
