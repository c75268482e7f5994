/* supervisor_process.c: one daemon: how it comes into the world, and out of it. */
#include "supervisor.h"
#include "sgi_envfile.h"

#include <swiftgi.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The descriptors that a daemon begins with. */
#define LISTENER 3
#define READY_PIPE 4
#define BOARD 5

/* A daemon may have as many descriptors as the system lets it, but for programs that make a
 * loop over all there could be. */
#define DESCRIPTORS 65536

/* What the launcher takes at most, in milliseconds: three weeks. */
#define NO_TIMEOUT INT32_MAX

int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

uint64_t with_jitter(uint64_t limit)
{
    return limit + (uint64_t)random() % (limit / 10 + 1);
}

/* ---- between fork and exec ---- */

/* Tells the supervisor what went wrong, and ends. */
static void fail(const char *what, const char *why)
{
    char text[200];
    int length = snprintf(text, sizeof(text), "e%s: %s", what, why);

    if (length > (int)sizeof(text) - 1) length = sizeof(text) - 1;
    if (length > 0 && write(READY_PIPE, text, (size_t)length) < 0) _exit(71);
    _exit(SUPERVISOR_EXIT_CANNOT_START);
}

static void check(int result, const char *what)
{
    if (result < 0) fail(what, strerror(errno));
}

static void arrange_descriptors(int listener, int ready, int board, int standard, int errors)
{
    int null = open("/dev/null", O_RDONLY);
    /* Out of the way of each other first. */
    int high_listener = fcntl(listener, F_DUPFD, 10), high_ready = fcntl(ready, F_DUPFD, 10);
    int high_board = fcntl(board, F_DUPFD, 10);
    int high_standard = fcntl(standard, F_DUPFD, 10), high_errors = fcntl(errors, F_DUPFD, 10);

    if (high_ready < 0 || dup2(high_ready, READY_PIPE) < 0) _exit(71);
    check(null, "/dev/null");
    check(dup2(null, STDIN_FILENO), "standard input");
    check(dup2(high_standard, STDOUT_FILENO), "standard output");
    check(dup2(high_errors, STDERR_FILENO), "standard error");
    /* HTTP servers have neither. */
    if (listener >= 0) check(dup2(high_listener, LISTENER), "socket");
    else close(LISTENER);
    if (board >= 0) check(dup2(high_board, BOARD), "memory");
    check(close_range(board >= 0 ? BOARD + 1 : BOARD, ~0U, 0), "close_range");
}

static void reset_signals(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;
    int number;

    for (number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigemptyset(&none);
    check(sigprocmask(SIG_SETMASK, &none, NULL), "signals");
}

static void raise_limits(void)
{
    struct rlimit limit;

    check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    if (limit.rlim_cur >= DESCRIPTORS || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

/* Nothing of what was before may be left, nor come back. */
static void become_user(const supervisor_backend *settings)
{
    uid_t real, effective, saved;
    gid_t groups[SUPERVISOR_GROUPS_LIMIT], real_group, effective_group, saved_group;
    uint32_t i;

    if (!settings->changes_user) return;
    if (settings->uid == 0) fail("user", "it is root");
    for (i = 0; i < settings->group_count; i++) groups[i] = settings->groups[i];
    check(setgroups(settings->group_count, groups), "setgroups");
    check(setresgid(settings->gid, settings->gid, settings->gid), "setgid");
    check(setresuid(settings->uid, settings->uid, settings->uid), "setuid");
    check(getresuid(&real, &effective, &saved), "getresuid");
    check(getresgid(&real_group, &effective_group, &saved_group), "getresgid");
    if (real != settings->uid || effective != settings->uid || saved != settings->uid
        || real_group != settings->gid || effective_group != settings->gid
        || saved_group != settings->gid
        || getgroups(SUPERVISOR_GROUPS_LIMIT, groups) != (int)settings->group_count) {
        fail("setuid", "the process is not who it should be");
    }
    if (setuid(0) == 0) fail("setuid", "root can be had back");
}

static void set_variable(void *context, const char *variable)
{
    char *copy = strdup(variable);

    if (!copy || putenv(copy)) fail("environment", strerror(ENOMEM));
}

static void set_environment(const backend *b, const process *p)
{
    /* What belongs to the one that systemd or an inetd started. */
    static const char *const others[] = { "LISTEN_PID",    "LISTEN_FDS",   "LISTEN_FDNAMES",
                                          "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC" };
    const char *user = b->strings[SUPERVISOR_USER], *home = b->strings[SUPERVISOR_USER_HOME];
    const char *file = b->strings[SUPERVISOR_ENV_FILE];
    char problem[160];
    size_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) unsetenv(others[i]);
    if (*user) {
        setenv("USER", user, 1);
        setenv("LOGNAME", user, 1);
    }
    if (*home) setenv("HOME", home, 1);
    setenv("PWD", b->strings[SUPERVISOR_HOME], 1);
    setenv("SWIFT_BACKTRACE", b->strings[SUPERVISOR_BACKTRACE], 1);
    if (*file && sgi_envfile_read(file, set_variable, NULL, problem, sizeof(problem)) < 0) {
        fail("env-file", problem);
    }
    for (i = 0; i < b->settings->variables; i++) {
        char *own = http_is(b) ? http_expand(p, b->variables[i]) : NULL;

        set_variable(NULL, own ? own : b->variables[i]);
    }
}

static const char *level_name(void)
{
    static const char *const names[] = { "critical", "error", "warning", "notice",
                                         "info",     "debug", "trace" };
    int level = log_level();

    if (level < LEVEL_CRITICAL) level = LEVEL_CRITICAL;
    if (level > LEVEL_DEBUG + 1) level = LEVEL_DEBUG + 1;
    return names[level - LEVEL_CRITICAL];
}

static void run_launcher(const backend *b)
{
    const supervisor_backend *settings = b->settings;
    char threads[24], grace[24], timeout[24], peer[24], requests[24], inactivity[24];
    const char *arguments[24];
    size_t n = 0;

    snprintf(threads, sizeof(threads), "%u", settings->threads);
    snprintf(grace, sizeof(grace), "%llums", (unsigned long long)settings->drain_timeout);
    snprintf(timeout, sizeof(timeout), "%llums",
             (unsigned long long)(settings->io_timeout ? settings->io_timeout : NO_TIMEOUT));
    snprintf(peer, sizeof(peer), "%u", settings->peer);
    snprintf(requests, sizeof(requests), "%llu",
             (unsigned long long)settings->maximum_requests);
    snprintf(inactivity, sizeof(inactivity), "%llums",
             (unsigned long long)with_jitter(settings->inactivity_timeout));
    arguments[n++] = b->strings[SUPERVISOR_DISPLAY_NAME];
    arguments[n++] = "--fastcgi";
    arguments[n++] = "fd:3";
    arguments[n++] = "--ready";
    arguments[n++] = "fd:4";
    arguments[n++] = "--board";
    arguments[n++] = "fd:5";
    arguments[n++] = "--threads";
    arguments[n++] = threads;
    arguments[n++] = "--grace";
    arguments[n++] = grace;
    arguments[n++] = "--io-timeout";
    arguments[n++] = timeout;
    arguments[n++] = "--log-level";
    arguments[n++] = level_name();
    arguments[n++] = "--peer-user";
    arguments[n++] = peer;
    if (settings->maximum_requests) {
        arguments[n++] = "--max-requests";
        arguments[n++] = requests;
    }
    if (settings->inactivity_timeout) {
        arguments[n++] = "--inactivity-timeout";
        arguments[n++] = inactivity;
    }
    arguments[n++] = b->strings[SUPERVISOR_LIBRARY];
    arguments[n] = NULL;
    execv(b->strings[SUPERVISOR_LAUNCHER], (char *const *)arguments);
    fail(b->strings[SUPERVISOR_LAUNCHER], strerror(errno));
}

/* An HTTP server, which has no use for the pipe. */
static void run_command(const backend *b, const process *p)
{
    char **arguments = calloc(b->settings->words + 1, sizeof(char *));
    size_t i;

    check(fcntl(READY_PIPE, F_SETFD, FD_CLOEXEC), "descriptor");
    for (i = 0; arguments && i < b->settings->words; i++) {
        arguments[i] = http_expand(p, b->words[i]);
        if (!arguments[i]) break;
    }
    if (!arguments || i < b->settings->words) fail("command", strerror(ENOMEM));
    execv(arguments[0], arguments);
    fail(arguments[0], strerror(errno));
}

static void run_child(const backend *b, const process *p, pid_t parent, int ready, int board,
                      int standard, int errors)
{
    arrange_descriptors(b->listener, ready, board, standard, errors);
    reset_signals();
    /* What it starts can be ended with it. */
    check(setpgid(0, 0), "setpgid");
    umask((mode_t)b->settings->file_mask);
    raise_limits();
    /* Of a file that only root may read, too. */
    set_environment(b, p);
    become_user(b->settings);
    /* A change of the user takes this back; and the parent may be gone already. */
    check(prctl(PR_SET_PDEATHSIG, SIGTERM), "prctl");
    if (getppid() != parent) _exit(SUPERVISOR_EXIT_OK);
    check(chdir(b->strings[SUPERVISOR_HOME]), b->strings[SUPERVISOR_HOME]);
    /* The daemon writes to it when it serves, its children do not. */
    if (http_is(b)) run_command(b, p);
    else run_launcher(b);
}

/* ---- the supervisor's side ---- */

static int open_pipe(int ends[2])
{
    ends[0] = ends[1] = -1;
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static void close_ends(int pipes[3][2], int end)
{
    int i;

    for (i = 0; i < 3; i++) {
        if (pipes[i][end] >= 0) close(pipes[i][end]);
    }
}

/* Memory that a process shares with this one, as long as it lives; -1 if there is none. Its size
 * is sealed: who reads what somebody has cut off dies of it. */
static int open_board(const char **board)
{
    int descriptor = memfd_create("swiftgi-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *memory = MAP_FAILED;

    if (descriptor >= 0 && ftruncate(descriptor, sizeof(swiftgi_board)) == 0
        && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        memory = mmap(NULL, sizeof(swiftgi_board), PROT_READ, MAP_SHARED, descriptor, 0);
    }
    if (memory == MAP_FAILED) {
        if (descriptor >= 0) close(descriptor);
        return -1;
    }
    *board = memory;
    return descriptor;
}

static void close_board(process *p)
{
    if (p && p->board) munmap((void *)p->board, sizeof(swiftgi_board));
}

void process_requests(const process *p, char *text, size_t size)
{
    const swiftgi_board *board = (const void *)p->board;
    size_t length = 0, i;

    *text = '\0';
    if (!board) return;
    for (i = 0; i < SWIFTGI_BOARD_PLACES && length < size; i++) {
        size_t count = strnlen(board->requests[i], sizeof(board->requests[i]));

        if (count == 0) continue;
        length += (size_t)snprintf(text + length, size - length, "%s%.*s",
                                   length ? ", " : ", while it served request ", (int)count,
                                   board->requests[i]);
    }
}

bool process_start(backend *b)
{
    int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } }, board = -1;
    pid_t parent = getpid();
    process *p = calloc(1, sizeof(*p));
    int i, failed = !p;

    for (i = 0; i < 3 && !failed; i++) failed = open_pipe(pipes[i]) < 0;
    if (!failed) {
        failed = http_is(b) ? !http_prepare(b, p) : (board = open_board(&p->board)) < 0;
    }
    if (!failed) {
        p->pid = fork();
        if (p->pid == 0) {
            run_child(b, p, parent, pipes[0][1], board, pipes[1][1], pipes[2][1]);
            _exit(71);
        }
        failed = p->pid < 0;
    }
    if (failed) {
        log_line(b, 0, LEVEL_ERROR, "SGI0410: no process could be started: %s",
                 strerror(errno));
        close_ends(pipes, 0);
        close_ends(pipes, 1);
        if (p) http_release(p);
        if (board >= 0) close(board);
        close_board(p);
        free(p);
        return false;
    }
    if (board >= 0) close(board);
    close_ends(pipes, 1);
    p->state = STARTING;
    p->generation = b->generation;
    p->ready = pipes[0][0];
    p->standard.descriptor = pipes[1][0];
    p->standard.level = LEVEL_NOTICE;
    p->errors.descriptor = pipes[2][0];
    p->errors.level = LEVEL_ERROR;
    p->started = now();
    p->deadline = p->started + (int64_t)b->settings->startup_timeout;
    p->next = b->processes;
    b->processes = p;
    return true;
}

void process_drain(process *p, int64_t patience)
{
    int64_t deadline = now() + patience;

    if (p->address.text[0]) http_drain(p, deadline);
    else if (p->state != DRAINING) kill(p->pid, SIGTERM);
    if (p->state != DRAINING || !p->deadline || deadline < p->deadline) p->deadline = deadline;
    p->state = DRAINING;
}

void process_kill(process *p)
{
    p->was_killed = true;
    p->state = DRAINING;
    p->deadline = 0;
    /* Between fork and exec it may not have its group yet. */
    kill(p->pid, SIGKILL);
    kill(-p->pid, SIGKILL);
}

char process_hear(process *p)
{
    char what = 0;
    ssize_t count = p->ready >= 0 ? read(p->ready, &what, 1) : -1;

    if (count < 0 && (p->ready < 0 || errno == EINTR || errno == EAGAIN)) return 0;
    if (count > 0 && what == 'e') {
        count = read(p->ready, p->failure, sizeof(p->failure) - 1);
        p->failure[count > 0 ? count : 0] = '\0';
    }
    if (count > 0) return what;
    close(p->ready);
    p->ready = -1;
    return 0;
}

/* The first line of a file below /proc. */
static bool read_line(pid_t pid, const char *name, char *line, size_t size)
{
    char path[64];
    ssize_t count;
    int file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    count = read(file, line, size - 1);
    close(file);
    if (count <= 0) return false;
    line[count] = '\0';
    return true;
}

bool process_measure(const process *p, uint64_t *rss, int64_t *cpu)
{
    char line[1024], *rest;
    unsigned long pages, user, system;

    if (!read_line(p->pid, "statm", line, sizeof(line))
        || sscanf(line, "%*u %lu", &pages) != 1) {
        return false;
    }
    *rss = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    /* The name, in parentheses, may have any characters. */
    if (!read_line(p->pid, "stat", line, sizeof(line)) || !(rest = strrchr(line, ')'))
        || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                  &system)
               != 2) {
        return false;
    }
    *cpu = (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
    return true;
}

void process_free(process *p, const backend *b)
{
    log_close(&p->standard, b, p->pid);
    log_close(&p->errors, b, p->pid);
    if (p->ready >= 0) close(p->ready);
    http_release(p);
    close_board(p);
    free(p);
}
