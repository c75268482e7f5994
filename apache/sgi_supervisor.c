/* sgi_supervisor.c: the sockets of the daemons, and the process that owns them.
 *
 * httpd reads its configuration anew at each restart, unloads the module and loads it again,
 * elsewhere. What has to outlive that is in one plain struct in the process's pool: the
 * sockets, in which requests wait as long as nobody accepts them, and the supervisor. */
#include "sgi_supervisor.h"
#include "sgi_config.h"
#include "sgi_crash.h"
#include "sgi_group.h"
#include "sgi_log.h"
#include "supervisor_protocol.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <mpm_common.h>
#include <unixd.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Pairs of a group and a library. */
#define SOCKETS_LIMIT 256

/* The kernel's own limit is lower on many systems. */
#define BACKLOG 4096

/* A supervisor that takes no message for so long hangs. */
#define SEND_SECONDS 5

/* How long the supervisor and its daemons may take to end with httpd; milliseconds. */
#define STOP_PATIENCE 4000

/* After so many in a row that died within these seconds the next is the monitor's, which
 * comes every ten seconds. */
#define SHORT_LIFE 2
#define SHORT_LIVES 3

#define SEND_BUFFER (1 << 20)

typedef struct listener {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int descriptor;
    int is_wanted; /* boolean: the present configuration has it */
    dev_t device;
    ino_t inode;
} listener;

/* The layout is part of the key: another version of the module finds nothing, and what the
 * supervisor that it does not know is told no more, ends. */
#define STATE_KEY "swiftgi_supervisor_1"

typedef struct lasting {
    pid_t owner;      /* httpd's parent */
    pid_t supervisor; /* 0: there is none */
    int control;      /* -1: none */
    time_t started;
    int short_lives; /* in a row */
    int count;
    listener listeners[SOCKETS_LIMIT];
} lasting;

/* Of this reading of the configuration. */
static struct {
    lasting *state;
    server_rec *server;
    apr_pool_t *pconf;
} present;

static lasting *get_state(server_rec *s)
{
    apr_pool_t *pool = s->process->pool;
    void *data = NULL;
    lasting *state;

    apr_pool_userdata_get(&data, STATE_KEY, pool);
    if (data) return data;
    state = apr_pcalloc(pool, sizeof(*state));
    state->owner = getpid();
    state->control = -1;
    /* The key is copied: this one is unloaded. */
    apr_pool_userdata_set(state, STATE_KEY, NULL, pool);
    return state;
}

/* ---- the sockets ---- */

/* Root's, or of the user that started httpd, and nobody else's: who can write to it can put
 * a socket of his own in the place of a daemon's. */
static int make_directory(server_rec *s, const char *path)
{
    struct stat status;

    /* To pass through it is enough for children. */
    if (mkdir(path, 0711) == 0) {
        if (chmod(path, 0711) == 0) return 0;
    }
    else if (errno == EEXIST && lstat(path, &status) == 0) {
        if (S_ISDIR(status.st_mode) && !(status.st_mode & (S_IWGRP | S_IWOTH))
            && (status.st_uid == geteuid() || status.st_uid == 0)) {
            return 0;
        }
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, SGI_LOGNO(0434)
                     "SwiftGISocketDirectory: %s must be a directory of the user that starts "
                     "httpd, and only his to write to; chmod go-w it, or name another", path);
        return -1;
    }
    ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s, SGI_LOGNO(0435)
                 "SwiftGISocketDirectory: %s cannot be made; make the directory above it, or name "
                 "another", path);
    return -1;
}

static void fill_address(struct sockaddr_un *address, const char *path)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    apr_cpystrn(address->sun_path, path, sizeof(address->sun_path));
}

/* Whether somebody listens there. */
static int is_served(const char *path)
{
    struct sockaddr_un address;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result;

    if (s < 0) return 0;
    fill_address(&address, path);
    result = connect(s, (struct sockaddr *)&address, sizeof(address));
    /* A queue that is full is somebody's. */
    if (result < 0 && errno == EAGAIN) result = 0;
    close(s);
    return result == 0;
}

/* A listening socket at the path, for httpd's User alone; -1 with errno. */
static int open_socket(const char *path)
{
    struct sockaddr_un address;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result, error;
    mode_t mask;

    if (s < 0) return -1;
    fill_address(&address, path);
    mask = umask(0177);
    result = bind(s, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (result == 0 && geteuid() == 0) {
        result = lchown(path, ap_unixd_config.user_id, (gid_t)-1);
    }
    if (result == 0) result = listen(s, BACKLOG);
    if (result == 0) return s;
    error = errno;
    close(s);
    errno = error;
    return -1;
}

static int is_in_place(const listener *l)
{
    struct stat status;

    return lstat(l->path, &status) == 0 && status.st_ino == l->inode
           && status.st_dev == l->device;
}

static void forget(lasting *state, listener *l)
{
    if (is_in_place(l)) unlink(l->path);
    close(l->descriptor);
    *l = state->listeners[--state->count];
}

static int make_socket(lasting *state, server_rec *s, const char *path)
{
    listener *l = &state->listeners[state->count];
    struct stat status;
    int descriptor;

    if (state->count == SOCKETS_LIMIT) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, SGI_LOGNO(0436)
                     "SwiftGIDaemonProcess: there are more than %d pairs of a process group and a "
                     "library; name groups in fewer sections", SOCKETS_LIMIT);
        return -1;
    }
    if (is_served(path)) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, SGI_LOGNO(0437)
                     "SwiftGISocketDirectory: somebody else serves %s, perhaps another httpd; give "
                     "each its own directory", path);
        return -1;
    }
    unlink(path);
    descriptor = open_socket(path);
    if (descriptor < 0 || lstat(path, &status) < 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s, SGI_LOGNO(0438)
                     "SwiftGISocketDirectory: the socket %s cannot be made", path);
        if (descriptor >= 0) close(descriptor);
        return -1;
    }
    apr_cpystrn(l->path, path, sizeof(l->path));
    l->descriptor = descriptor;
    l->device = status.st_dev;
    l->inode = status.st_ino;
    l->is_wanted = 1;
    state->count++;
    return 0;
}

static listener *find_listener(lasting *state, const char *path)
{
    int i;

    for (i = 0; i < state->count; i++) {
        if (!strcmp(state->listeners[i].path, path)) return &state->listeners[i];
    }
    return NULL;
}

/* Keeps the sockets that are wanted still, makes those that are missing, and removes the
 * others; 0, or -1 if any could not be made. */
static int arrange_sockets(lasting *state, server_rec *s)
{
    const sgi_backend *backend;
    int i, result = 0;

    for (i = 0; i < state->count; i++) state->listeners[i].is_wanted = 0;
    if (sgi_group_backends() && make_directory(s, sgi_group_socket_directory()) < 0)
        result = -1;
    for (backend = sgi_group_backends(); backend && !result; backend = backend->next) {
        listener *l = find_listener(state, backend->socket);

        if (backend->group->command) continue;
        if (l && !is_in_place(l)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, SGI_LOGNO(0439)
                         "SwiftGISocketDirectory: the socket %s was removed by somebody, it is made "
                         "anew; keep cleaners of temporary files away", l->path);
            forget(state, l);
            l = NULL;
        }
        if (l) l->is_wanted = 1;
        else if (make_socket(state, s, backend->socket) < 0) result = -1;
    }
    for (i = state->count - 1; i >= 0 && !result; i--) {
        if (!state->listeners[i].is_wanted) forget(state, &state->listeners[i]);
    }
    return result;
}

/* ---- messages ---- */

static int send_message(int control, const void *data, size_t size, const int *descriptors,
                        size_t count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } ancillary;
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t sent;

    if (count) {
        memset(&ancillary, 0, sizeof(ancillary));
        ancillary.header.cmsg_level = SOL_SOCKET;
        ancillary.header.cmsg_type = SCM_RIGHTS;
        ancillary.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&ancillary.header), descriptors, count * sizeof(int));
        message.msg_control = &ancillary;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    do {
        sent = sendmsg(control, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

static int log_descriptor(const server_rec *s)
{
    apr_os_file_t descriptor;

    return s->error_log && apr_os_file_get(&descriptor, s->error_log) == APR_SUCCESS
               ? descriptor
               : STDERR_FILENO;
}

/* The ErrorLogFormat below a node of the configuration, the last one of which counts; `found`
 * if there is none. httpd itself keeps it only in its own form. */
static const char *find_log_format(const ap_directive_t *node, apr_pool_t *pool,
                                   const char *found)
{
    for (; node; node = node->next) {
        if (!ap_cstr_casecmp(node->directive, "ErrorLogFormat")) {
            const char *rest = node->args, *format = ap_getword_conf(pool, &rest);

            /* Two arguments are about other lines. */
            if (!*rest) found = format;
        }
        else if (node->first_child && ap_cstr_casecmp(node->directive, "<VirtualHost")) {
            found = find_log_format(node->first_child, pool, found);
        }
    }
    return found;
}

static const ap_directive_t *find_host(const ap_directive_t *node, const server_rec *s)
{
    const ap_directive_t *found = NULL;

    for (; node && !found; node = node->next) {
        if (!ap_cstr_casecmp(node->directive, "<VirtualHost")) {
            if (node->line_num == (int)s->defn_line_number
                && !strcmp(node->filename, s->defn_name))
                found = node;
        }
        else if (node->first_child) {
            found = find_host(node->first_child, s);
        }
    }
    return found;
}

/* NULL: the default. */
static const char *log_format_of(const server_rec *s, apr_pool_t *pool)
{
    const char *format = find_log_format(ap_conftree, pool, NULL);
    const ap_directive_t *host =
        s->is_virtual && s->defn_name ? find_host(ap_conftree, s) : NULL;

    return host ? find_log_format(host->first_child, pool, format) : format;
}

typedef struct builder {
    char *data;
    size_t size;
    int is_full;
} builder;

static void put_string(builder *b, const char *text)
{
    size_t count = strlen(text ? text : "") + 1;

    if (b->size + count > SUPERVISOR_MESSAGE_LIMIT) {
        b->is_full = 1;
        return;
    }
    memcpy(b->data + b->size, text ? text : "", count);
    b->size += count;
}

static const char *backtrace_of(const sgi_group *group, server_rec *s, apr_pool_t *pool)
{
    const sgi_global_config *global = sgi_config_global();
    const char *program = group->backtrace, *settings, *tried;
    int is_on = group->backtrace ? ap_cstr_casecmp(group->backtrace, "off") : global->backtrace;

    if (!is_on) return SGI_CRASH_NO_BACKTRACE;
    if (!program || program[0] != '/') program = global->backtracer;
    settings = sgi_crash_settings(pool, program, &tried);
    if (settings) return settings;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, SGI_LOGNO(0429)
                 "SwiftGIDaemonProcess %s: backtrace: %s cannot be run, crashes are logged without "
                 "backtrace; name the swift-backtrace of the Swift toolchain",
                 group->name, tried);
    return SGI_CRASH_NO_BACKTRACE;
}

static apr_uint64_t milliseconds(apr_interval_time_t time)
{
    return (apr_uint64_t)time / 1000;
}

static void fill_numbers(supervisor_backend *message, const sgi_backend *backend)
{
    const sgi_group *group = backend->group;
    const sgi_account *account = &group->account;
    int i;

    message->header.protocol = SUPERVISOR_PROTOCOL;
    message->header.type = SUPERVISOR_BACKEND;
    message->on_demand = backend->on_demand;
    message->processes = (apr_uint32_t)group->processes;
    message->threads = (apr_uint32_t)group->threads;
    message->file_mask = (apr_uint32_t)group->file_mask;
    message->io_timeout = milliseconds(group->io_timeout);
    message->startup_timeout = milliseconds(group->startup_timeout);
    message->inactivity_timeout = milliseconds(group->inactivity_timeout);
    message->restart_interval = milliseconds(group->restart_interval);
    message->drain_timeout = milliseconds(group->drain_timeout);
    message->shutdown_timeout = milliseconds(group->shutdown_timeout);
    message->cpu_time_limit = milliseconds(group->cpu_time_limit);
    message->maximum_requests = (apr_uint64_t)group->maximum_requests;
    message->max_rss = (apr_uint64_t)group->max_rss;
    message->peer = geteuid() == 0 ? ap_unixd_config.user_id : geteuid();
    message->changes_user = group->changes_user;
    message->uid = account->uid;
    message->gid = account->gid;
    message->group_count = (apr_uint32_t)account->group_count;
    for (i = 0; i < account->group_count; i++) message->groups[i] = account->groups[i];
    message->variables = (apr_uint32_t)group->environment->nelts;
    if (!group->command) return;
    message->words = (apr_uint32_t)group->words->nelts;
    message->listening = group->has_port ? SUPERVISOR_PORT : SUPERVISOR_SOCKET;
}

static int send_backend(lasting *state, server_rec *s, const sgi_backend *backend,
                        apr_pool_t *ptemp)
{
    const sgi_group *group = backend->group;
    const listener *l = find_listener(state, backend->socket);
    builder b = { .data = apr_pcalloc(ptemp, SUPERVISOR_MESSAGE_LIMIT),
                  .size = sizeof(supervisor_backend) };
    int descriptors[2], i;

    if (!l && !group->command) return 0;
    fill_numbers((supervisor_backend *)b.data, backend);
    put_string(&b, group->name);
    put_string(&b, backend->library);
    put_string(&b, sgi_group_launcher());
    put_string(&b, group->display_name);
    put_string(&b, group->home);
    put_string(&b, group->account.name);
    put_string(&b, group->account.home);
    put_string(&b, backtrace_of(group, s, ptemp));
    put_string(&b, group->env_file);
    put_string(&b, log_format_of(group->server, ptemp));
    put_string(&b, group->server->server_hostname);
    put_string(&b, group->command ? backend->socket : "");
    put_string(&b, group->ready_path);
    for (i = 0; i < group->environment->nelts; i++) {
        put_string(&b, APR_ARRAY_IDX(group->environment, i, const char *));
    }
    for (i = 0; group->command && i < group->words->nelts; i++) {
        put_string(&b, APR_ARRAY_IDX(group->words, i, const char *));
    }
    if (b.is_full) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, SGI_LOGNO(0428)
                     "SwiftGIDaemonProcess %s: its paths and variables have more than %d bytes; use "
                     "env-file", group->name, SUPERVISOR_MESSAGE_LIMIT);
        return 0;
    }
    if (!l) {
        descriptors[0] = log_descriptor(group->server);
        return send_message(state->control, b.data, b.size, descriptors, 1);
    }
    descriptors[0] = l->descriptor;
    descriptors[1] = log_descriptor(group->server);
    return send_message(state->control, b.data, b.size, descriptors, 2);
}

static int send_header(int control, enum supervisor_type type)
{
    supervisor_header header = { .protocol = SUPERVISOR_PROTOCOL, .type = type };

    return send_message(control, &header, sizeof(header), NULL, 0);
}

static int send_configuration(lasting *state, server_rec *s, apr_pool_t *ptemp)
{
    builder b = { .data = apr_pcalloc(ptemp, SUPERVISOR_MESSAGE_LIMIT),
                  .size = sizeof(supervisor_begin) };
    supervisor_begin *begin = (supervisor_begin *)b.data;
    const sgi_backend *backend;
    int log = log_descriptor(s);

    begin->header.protocol = SUPERVISOR_PROTOCOL;
    begin->header.type = SUPERVISOR_BEGIN;
    begin->level = (apr_int32_t)sgi_log_level(s);
    begin->reload = sgi_config_global()->reload ? 1 : 0;
    put_string(&b, log_format_of(s, ptemp));
    put_string(&b, s->server_hostname);
    if (send_message(state->control, b.data, b.size, &log, 1) < 0) return -1;
    for (backend = sgi_group_backends(); backend; backend = backend->next) {
        if (send_backend(state, s, backend, ptemp) < 0) return -1;
    }
    return send_header(state->control, SUPERVISOR_END);
}

/* ---- the process ---- */

static void run_supervisor(const char *program, int control, int failure)
{
    char *const arguments[] = { (char *)"swiftgi-supervisor", NULL };
    int null = open("/dev/null", O_RDWR), error;

    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    /* Out of each other's way first. */
    failure = fcntl(failure, F_DUPFD_CLOEXEC, 10);
    control = fcntl(control, F_DUPFD_CLOEXEC, 10);
    if (failure >= 0 && control >= 0 && dup2(failure, 4) >= 0
        && fcntl(4, F_SETFD, FD_CLOEXEC) == 0 && dup2(control, SUPERVISOR_CONTROL) >= 0
        && close_range(5, ~0U, 0) == 0) {
        execv(program, arguments);
    }
    error = errno;
    if (write(4, &error, sizeof(error)) < 0) _exit(71);
    _exit(SUPERVISOR_EXIT_CANNOT_START);
}

/* Waits until the program runs, which takes no time; 0, or what went wrong. */
static int await_exec(int failure)
{
    int error = 0;
    ssize_t count;

    do {
        count = read(failure, &error, sizeof(error));
    } while (count < 0 && errno == EINTR);
    return count > 0 ? error : 0;
}

static int start_supervisor(lasting *state, server_rec *s)
{
    struct timeval timeout = { .tv_sec = SEND_SECONDS };
    int ends[2] = { -1, -1 }, failure[2] = { -1, -1 }, size = SEND_BUFFER, yes = 1, error = 0;
    pid_t pid = -1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0
        || setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0
        || pipe2(failure, O_CLOEXEC) < 0
        || setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0
        || (pid = fork()) < 0) {
        error = errno;
    }
    if (pid == 0) run_supervisor(sgi_group_supervisor(), ends[1], failure[1]);
    if (ends[1] >= 0) close(ends[1]);
    if (failure[1] >= 0) close(failure[1]);
    if (!error) error = await_exec(failure[0]);
    if (failure[0] >= 0) close(failure[0]);
    if (error) {
        if (ends[0] >= 0) close(ends[0]);
        if (pid > 0) waitpid(pid, NULL, 0);
        ap_log_error(APLOG_MARK, APLOG_CRIT, error, s, SGI_LOGNO(0405)
                     "the supervisor %s could not be started", sgi_group_supervisor());
        return -1;
    }
    if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0) {
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
    state->control = ends[0];
    state->supervisor = pid;
    state->started = time(NULL);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, SGI_LOGNO(0404)
                 "supervisor started as process %d", (int)pid);
    return 0;
}

static void forget_supervisor(lasting *state)
{
    if (state->control >= 0) close(state->control);
    state->control = -1;
    state->supervisor = 0;
}

static void kill_supervisor(lasting *state)
{
    pid_t pid = state->supervisor;

    kill(pid, SIGKILL);
    forget_supervisor(state);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

static void log_death(server_rec *s, pid_t pid, const char *how, int number)
{
    /* One that was told to end, or had nothing left to do, says so itself. */
    ap_log_error(APLOG_MARK, number ? APLOG_ERR : APLOG_INFO, 0, s, SGI_LOGNO(0406)
                 "supervisor %d has ended (%s %d), its daemons end with it", (int)pid, how,
                 number);
}

static void notice_death(int reason, void *data, apr_wait_t status);

static void watch(lasting *state, apr_pool_t *pconf)
{
    /* APR keeps the pointer. */
    apr_proc_t *process = apr_pcalloc(pconf, sizeof(*process));

    process->pid = state->supervisor;
    apr_proc_other_child_register(process, notice_death, state, NULL, pconf);
}

/* Starts it and tells it everything; 0 if it runs. */
static int bring_up(lasting *state, server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    if (start_supervisor(state, s) < 0) return -1;
    if (send_configuration(state, s, ptemp) < 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s, SGI_LOGNO(0407)
                     "the supervisor does not take its configuration");
        kill_supervisor(state);
        return -1;
    }
    watch(state, pconf);
    return 0;
}

static int is_running(void)
{
    int mpm_state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &mpm_state) == APR_SUCCESS
           && mpm_state == AP_MPMQ_RUNNING;
}

static int bring_up_again(void)
{
    apr_pool_t *ptemp;
    int result;

    apr_pool_create(&ptemp, present.pconf);
    result = bring_up(present.state, present.server, present.pconf, ptemp);
    apr_pool_destroy(ptemp);
    return result;
}

/* Called by the parent's loop. */
static void notice_death(int reason, void *data, apr_wait_t status)
{
    lasting *state = data;
    pid_t pid = state->supervisor;

    /* It is alive, as far as a restart is concerned; and what is unregistered needs nothing. */
    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) return;
    apr_proc_other_child_unregister(state);
    forget_supervisor(state);
    if (!sgi_group_backends()) return;
    /* httpd decodes the status before. */
    log_death(present.server, pid, "status", (int)status);
    if (time(NULL) - state->started >= SHORT_LIFE) state->short_lives = 0;
    else state->short_lives++;
    /* While httpd restarts, post_config does it. */
    if (is_running() && state->short_lives < SHORT_LIVES) bring_up_again();
}

int sgi_supervisor_monitor(apr_pool_t *p, server_rec *s)
{
    if (present.state && !present.state->supervisor && sgi_group_backends() && is_running()) {
        bring_up_again();
    }
    return DECLINED;
}

/* ---- the end of a configuration ---- */

static void end_supervisor(lasting *state)
{
    struct timespec pause = { .tv_nsec = 10000000 };
    int waited;

    close(state->control);
    state->control = -1;
    for (waited = 0; waited < STOP_PATIENCE; waited += 10) {
        if (waitpid(state->supervisor, NULL, WNOHANG) != 0) {
            state->supervisor = 0;
            return;
        }
        nanosleep(&pause, NULL);
    }
    kill_supervisor(state);
}

static apr_status_t leave(void *data)
{
    lasting *state = data;

    if (state->owner != getpid()) return APR_SUCCESS;
    present.state = NULL;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        if (state->supervisor) end_supervisor(state);
        while (state->count > 0) forget(state, &state->listeners[state->count - 1]);
    }
    /* The module may not be in the next configuration, and then nobody would say so. */
    else if (state->supervisor) send_header(state->control, SUPERVISOR_LEASE);
    return APR_SUCCESS;
}

/* ---- hooks ---- */

/* Nobody reaps while the configuration is read. */
static void notice_earlier_death(lasting *state, server_rec *s)
{
    int status;
    pid_t pid = state->supervisor;

    if (!pid || waitpid(pid, &status, WNOHANG) == 0) return;
    forget_supervisor(state);
    if (WIFSIGNALED(status)) log_death(s, pid, "signal", WTERMSIG(status));
    else log_death(s, pid, "status", WEXITSTATUS(status));
}

static int tell(lasting *state, server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    notice_earlier_death(state, s);
    if (state->supervisor) {
        if (send_configuration(state, s, ptemp) == 0) {
            watch(state, pconf);
            return 0;
        }
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, SGI_LOGNO(0408)
                     "supervisor %d takes no configuration, another is started",
                     (int)state->supervisor);
        kill_supervisor(state);
    }
    return sgi_group_backends() ? bring_up(state, s, pconf, ptemp) : 0;
}

int sgi_supervisor_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s)
{
    lasting *state;
    int is_start, result;

    /* At the start the configuration is read twice, the first time in a process that is not
     * the last yet. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) return OK;
    state = get_state(s);
    is_start = !state->supervisor && !state->count;
    present.state = state;
    present.server = s;
    present.pconf = pconf;
    apr_pool_cleanup_register(pconf, state, leave, apr_pool_cleanup_null);
    result = arrange_sockets(state, s);
    if (tell(state, s, pconf, ptemp) < 0) result = -1;
    /* In a running server an error would end it; the monitor tries again. */
    return result < 0 && is_start ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

void sgi_supervisor_child_init(apr_pool_t *pchild, server_rec *s)
{
    lasting *state = present.state;
    int i;

    /* With -X the parent is the child. */
    if (!state || state->owner == getpid()) return;
    if (state->control >= 0) close(state->control);
    state->control = -1;
    state->supervisor = 0;
    for (i = 0; i < state->count; i++) close(state->listeners[i].descriptor);
    state->count = 0;
    present.state = NULL;
}
