/* supervisor.c: the process that httpd's parent starts once, and that goes on through its
 * restarts: what the module tells it, and the loop around everything. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds. httpd waits for a configuration that it has announced while it reads it, which
 * may take looking up names. */
#define LEASE 30000
/* When httpd ends, all has to be over soon: what starts and stops it does not wait for long. */
#define STOP_PATIENCE 2000
#define INSPECTION 1000

#define MESSAGE_DESCRIPTORS 2

static struct {
    backend *backends;
    backend *staged;                /* of a configuration that is not complete yet */
    int staged_log;                 /* -1: there is none */
    supervisor_begin *staged_begin; /* with its strings; or NULL */
    bool is_configured, reloads, is_stopping, hears_module;
    int64_t lease; /* when it is over; 0: there is none */
    int64_t next_inspection;
    int signals;
} supervisor = { .staged_log = -1, .hears_module = true };

/* ---- the configuration ---- */

static void discard_staged(void)
{
    while (supervisor.staged) {
        backend *next = supervisor.staged->next;

        backend_free(supervisor.staged);
        supervisor.staged = next;
    }
    if (supervisor.staged_log >= 0) close(supervisor.staged_log);
    supervisor.staged_log = -1;
    free(supervisor.staged_begin);
    supervisor.staged_begin = NULL;
}

/* The second of the two strings behind the message; NULL: they are not there. */
static const char *server_of(const supervisor_begin *message, size_t size)
{
    const char *text = (const char *)(message + 1), *end = (const char *)message + size,
               *middle;

    if (size <= sizeof(*message) || end[-1] != '\0') return NULL;
    middle = memchr(text, '\0', (size_t)(end - text));
    return middle + 1 < end ? middle + 1 : NULL;
}

/* Takes the memory of the message. */
static void begin(supervisor_begin *message, int log)
{
    discard_staged();
    supervisor.staged_log = log;
    supervisor.staged_begin = message;
}

/* Takes what was staged: known backends go on with new settings, the others come and go. */
static void end(void)
{
    backend *b, *other, **link;
    const char *format;

    if (supervisor.staged_log < 0) return;
    format = (const char *)(supervisor.staged_begin + 1);
    log_set(supervisor.staged_log, supervisor.staged_begin->level, format,
            format + strlen(format) + 1);
    supervisor.reloads = supervisor.staged_begin->reload != 0;
    supervisor.staged_log = -1;
    free(supervisor.staged_begin);
    supervisor.staged_begin = NULL;
    supervisor.lease = 0;
    supervisor.is_configured = true;
    for (b = supervisor.backends; b; b = b->next) {
        for (link = &supervisor.staged; *link && !backend_is_same(*link, b);) {
            link = &(*link)->next;
        }
        other = *link;
        if (other) {
            *link = other->next;
            backend_update(b, other);
        }
        else if (!b->is_leaving) {
            backend_end(b,
                        (int64_t)(b->settings->drain_timeout + b->settings->shutdown_timeout));
        }
    }
    while ((b = supervisor.staged) != NULL) {
        supervisor.staged = b->next;
        b->next = supervisor.backends;
        supervisor.backends = b;
    }
}

static void stop(const char *why)
{
    backend *b;

    if (supervisor.is_stopping) return;
    supervisor.is_stopping = true;
    log_line(NULL, 0, LEVEL_INFO, "SGI0401: supervisor is to end: %s", why);
    for (b = supervisor.backends; b; b = b->next) {
        int64_t patience = (int64_t)b->settings->drain_timeout;

        backend_end(b, patience < STOP_PATIENCE ? patience : STOP_PATIENCE);
    }
}

/* Takes the descriptors that it has use for out of `descriptors`. */
static void handle_message(void *data, size_t size, int descriptors[MESSAGE_DESCRIPTORS])
{
    const supervisor_header *header = data;
    backend *b;

    if (size < sizeof(*header) || header->protocol != SUPERVISOR_PROTOCOL) {
        stop("the module speaks another protocol");
    }
    else if (header->type == SUPERVISOR_BEGIN && server_of(data, size) && descriptors[0] >= 0) {
        begin(data, descriptors[0]);
        descriptors[0] = -1;
        return;
    }
    else if (header->type == SUPERVISOR_BACKEND && descriptors[0] >= 0
             && (b = backend_create(data, size, descriptors[1] < 0 ? -1 : descriptors[0],
                                    descriptors[descriptors[1] < 0 ? 0 : 1]))
                    != NULL) {
        b->next = supervisor.staged;
        supervisor.staged = b;
        descriptors[0] = descriptors[1] = -1;
        return;
    }
    else if (header->type == SUPERVISOR_END) end();
    else if (header->type == SUPERVISOR_LEASE) supervisor.lease = now() + LEASE;
    else {
        log_line(NULL, 0, LEVEL_CRITICAL, "SGI0402: message %u of the module makes no sense",
                 header->type);
    }
    free(data);
}

/* Takes the descriptors out of a message; false if it is not from httpd's parent. Its
 * children have the socket, too, once the module has left the configuration and does not
 * close it for them any more. */
static bool take_descriptors(struct msghdr *message, int descriptors[MESSAGE_DESCRIPTORS])
{
    struct cmsghdr *control;
    struct ucred sender = { .pid = 0 };
    size_t i, count, n = 0;

    for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET) continue;
        if (control->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&sender, CMSG_DATA(control), sizeof(sender));
        }
        if (control->cmsg_type != SCM_RIGHTS) continue;
        count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count; i++) {
            int descriptor;

            memcpy(&descriptor, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
            if (n < MESSAGE_DESCRIPTORS) descriptors[n++] = descriptor;
            else close(descriptor);
        }
    }
    return sender.pid > 0 && sender.pid == getppid() && sender.uid == geteuid();
}

/* One message; false if there is none at the moment. */
static bool receive(void)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))
                   + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    int descriptors[MESSAGE_DESCRIPTORS] = { -1, -1 };
    struct iovec data = { .iov_base = malloc(SUPERVISOR_MESSAGE_LIMIT),
                          .iov_len = SUPERVISOR_MESSAGE_LIMIT };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t count;
    int i;

    if (!data.iov_base) return false;
    count = recvmsg(SUPERVISOR_CONTROL, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count <= 0) {
        free(data.iov_base);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) return false;
        supervisor.hears_module = false;
        stop("httpd has ended");
        return false;
    }
    if (take_descriptors(&message, descriptors)) {
        handle_message(data.iov_base, (size_t)count, descriptors);
    }
    else {
        log_line(NULL, 0, LEVEL_CRITICAL,
                 "SGI0409: a message did not come from httpd's parent and is ignored");
        free(data.iov_base);
    }
    for (i = 0; i < MESSAGE_DESCRIPTORS; i++) {
        if (descriptors[i] >= 0) close(descriptors[i]);
    }
    return true;
}

/* ---- processes and signals ---- */

static void reap(void)
{
    siginfo_t info;
    backend *b;
    process *p;
    int status;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid) return;
        /* As long as it is not reaped, the id of its group is nobody else's. */
        kill(-info.si_pid, SIGKILL);
        if (waitpid(info.si_pid, &status, 0) < 0) return;
        for (b = supervisor.backends; b; b = b->next) {
            for (p = b->processes; p && p->pid != info.si_pid;) p = p->next;
            if (!p) continue;
            backend_ended(b, p, status);
            break;
        }
    }
}

static void read_signals(void)
{
    struct signalfd_siginfo info;
    backend *b;

    while (read(supervisor.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD: reap(); break;
        case SIGHUP:
            for (b = supervisor.backends; b; b = b->next) backend_roll(b);
            break;
        default: stop(strsignal((int)info.ssi_signo)); break;
        }
    }
}

/* ---- the loop ---- */

/* What is polled, and for whom. */
typedef struct watch {
    backend *backend;
    process *process; /* NULL: the backend's listener */
    int *descriptor;
} watch;

static struct pollfd *items;
static watch *watches;
static size_t capacity, item_count;

static void add(backend *b, process *p, int *descriptor)
{
    if (item_count == capacity) {
        size_t more = capacity ? capacity * 2 : 64;
        struct pollfd *new_items = realloc(items, more * sizeof(*items));
        watch *new_watches;

        if (new_items) items = new_items;
        new_watches = realloc(watches, more * sizeof(*watches));
        if (new_watches) watches = new_watches;
        /* What can't be watched now is looked at later. */
        if (!new_items || !new_watches) return;
        capacity = more;
    }
    items[item_count] = (struct pollfd){ .fd = *descriptor, .events = POLLIN };
    watches[item_count++] = (watch){ b, p, descriptor };
}

static void add_all(void)
{
    static int control = SUPERVISOR_CONTROL, closed = -1;
    backend *b;
    process *p;

    item_count = 0;
    add(NULL, NULL, supervisor.hears_module ? &control : &closed);
    add(NULL, NULL, &supervisor.signals);
    for (b = supervisor.backends; b; b = b->next) {
        if ((b->is_dormant || b->is_refusing) && !b->is_leaving) add(b, NULL, &b->listener);
        for (p = b->processes; p; p = p->next) {
            if (p->ready >= 0) add(b, p, &p->ready);
            if (p->standard.descriptor >= 0) add(b, p, &p->standard.descriptor);
            if (p->errors.descriptor >= 0) add(b, p, &p->errors.descriptor);
        }
    }
}

static void handle(const watch *w)
{
    if (!w->process && w->backend->is_refusing) backend_refuse(w->backend);
    else if (!w->process) w->backend->is_dormant = false;
    else if (w->descriptor == &w->process->ready) backend_hear(w->backend, w->process);
    else if (w->descriptor == &w->process->standard.descriptor) {
        log_output(&w->process->standard, w->backend, w->process->pid);
    }
    else {
        int number = log_output(&w->process->errors, w->backend, w->process->pid);

        if (!number) return;
        backend_crashes(w->backend, w->process, number);
        log_output(&w->process->errors, w->backend, w->process->pid);
    }
}

static void wait_until(int64_t when)
{
    int64_t left = when - now();
    size_t i;

    add_all();
    if (item_count < 2) {
        /* Out of memory. */
        poll(NULL, 0, 100);
        return;
    }
    if (poll(items, item_count, left < 0 ? 0 : (int)left) <= 0) return;
    /* Processes go only with signals and backends only with messages: last. */
    for (i = 2; i < item_count; i++) {
        if (items[i].revents) handle(&watches[i]);
    }
    if (items[1].revents) read_signals();
    while (supervisor.hears_module && items[0].revents && receive()) continue;
}

/* Frees the backends that have left, with the last of their processes; whether any is there
 * still. */
static bool remove_left(void)
{
    backend **link = &supervisor.backends;

    while (*link) {
        backend *b = *link;

        if (b->is_leaving && !b->processes) {
            *link = b->next;
            backend_free(b);
        }
        else link = &b->next;
    }
    return supervisor.backends != NULL;
}

static void inspect(void)
{
    backend *b;

    if (now() < supervisor.next_inspection) return;
    supervisor.next_inspection = now() + INSPECTION;
    for (b = supervisor.backends; b; b = b->next) backend_inspect(b, supervisor.reloads);
}

static void run(void)
{
    for (;;) {
        int64_t when;
        backend *b;

        if (!remove_left() && (supervisor.is_stopping || supervisor.is_configured)) return;
        if (supervisor.lease && now() >= supervisor.lease) {
            stop("mod_swiftgi is not in httpd's configuration any more");
        }
        inspect();
        when = supervisor.next_inspection;
        for (b = supervisor.backends; b; b = b->next) backend_maintain(b, &when);
        wait_until(when);
    }
}

/* ---- the start ---- */

static bool is_started_by_httpd(void)
{
    int type = 0;
    socklen_t size = sizeof(type);

    return getsockopt(SUPERVISOR_CONTROL, SOL_SOCKET, SO_TYPE, &type, &size) == 0
           && type == SOCK_SEQPACKET;
}

static int prepare(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    struct rlimit limit;
    sigset_t mask;
    int number;

    /* What httpd ignores or blocks is none of ours or the daemons' business. */
    for (number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigfillset(&mask);
    sigdelset(&mask, SIGSEGV);
    sigdelset(&mask, SIGBUS);
    sigdelset(&mask, SIGFPE);
    sigdelset(&mask, SIGILL);
    sigdelset(&mask, SIGABRT);
    sigdelset(&mask, SIGTRAP);
    sigdelset(&mask, SIGSYS);
    sigdelset(&mask, SIGALRM);
    /* A log that nobody reads is an error of write(), no end. */
    sigdelset(&mask, SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    sigdelset(&mask, SIGUSR1);
    sigdelset(&mask, SIGUSR2);
    sigdelset(&mask, SIGWINCH);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0) return -1;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    supervisor.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor.signals < 0) return -1;
    /* httpd's end ends us, too; that it ended meanwhile shows in the socket. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) return -1;
    /* prefork signals its process group at a restart. An error means: it is ours already. */
    setsid();
    if (chdir("/") < 0) return -1;
    fcntl(SUPERVISOR_CONTROL, F_SETFD, FD_CLOEXEC);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    srandom((unsigned)(getpid() ^ time(NULL)));
    return 0;
}

int main(int argc, char *argv[])
{
    if (!is_started_by_httpd()) {
        fprintf(stderr, "%s: started by mod_swiftgi, not by people\n", argv[0]);
        return SUPERVISOR_EXIT_USAGE;
    }
    if (prepare() < 0) {
        log_line(NULL, 0, LEVEL_CRITICAL, "SGI0403: supervisor could not start: %s",
                 strerror(errno));
        return SUPERVISOR_EXIT_CANNOT_START;
    }
    run();
    return SUPERVISOR_EXIT_OK;
}
