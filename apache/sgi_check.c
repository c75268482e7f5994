/* sgi_check.c: trying libraries in processes of their own, so that the parent
 * never loads one. */
#include "sgi_check.h"
#include "sgi_route.h"

#include <http_core.h>
#include <unixd.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_SECONDS 10

/* Counters of crashes, one for each library; more libraries than that go uncounted. */
#define MAPPED_SIZE 4096

static void fail(sgi_verdict *verdict, const char *what)
{
    apr_snprintf(verdict->detail, sizeof(verdict->detail), "%s: %s", what, strerror(errno));
    verdict->refusal = SGI_UNCHECKED;
}

/* Becomes the user of a process group. */
static int take_on(const sgi_account *account, sgi_verdict *verdict)
{
    if (account->uid == 0) {
        verdict->refusal = SGI_ROOT;
        return -1;
    }
    if (setgroups((size_t)account->group_count, account->groups) < 0 || setgid(account->gid) < 0
        || setuid(account->uid) < 0 || geteuid() == 0) {
        fail(verdict, "setuid");
        return -1;
    }
    return 0;
}

/* Becomes what the process will be that runs the library, as mod_unixd does it: its
 * user, and where ChrootDir leads; 0 if that worked. */
static int drop_privileges(const sgi_account *account, sgi_verdict *verdict)
{
    const char *name = ap_unixd_config.user_name, *root = ap_unixd_config.chroot_dir;

    if (geteuid() != 0) return 0;
    if (account) return take_on(account, verdict);
    if (ap_unixd_config.user_id == 0) {
        verdict->refusal = SGI_ROOT;
        return -1;
    }
    /* initgroups does not know "#1000". */
    if (name[0] == '#') {
        const struct passwd *entry = getpwuid(ap_unixd_config.user_id);

        name = entry ? entry->pw_name : NULL;
    }
    if (setgid(ap_unixd_config.group_id) < 0) {
        fail(verdict, "setgid");
        return -1;
    }
    if (name ? initgroups(name, ap_unixd_config.group_id) < 0 : setgroups(0, NULL) < 0) {
        fail(verdict, "initgroups");
        return -1;
    }
    if (root && (chdir(root) < 0 || chroot(root) < 0 || chdir("/") < 0)) {
        fail(verdict, "ChrootDir");
        return -1;
    }
    if (setuid(ap_unixd_config.user_id) < 0 || geteuid() == 0) {
        fail(verdict, "setuid");
        return -1;
    }
    return 0;
}

static void leave(void)
{
    _exit(1);
}

static void run_child(const char *path, const sgi_account *account, int out)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGFPE, SIGTRAP, SIGTERM };
    const swiftgi_application_table *table;
    sgi_verdict verdict;
    void *handle;
    apr_size_t i;
    ssize_t written;
    sigset_t none;

    /* A crash here is the verdict, not something to be handled or reported. */
    for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) signal(fatal[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setenv("SWIFT_BACKTRACE", "enable=no", 1);
    /* A library that calls exit() must not run what httpd has for its own. */
    atexit(leave);
    /* httpd's listeners, logs and keys are none of the library's business. */
    if (out != 3) {
        dup2(out, 3);
        out = 3;
    }
    close_range(4, ~0U, 0);
    memset(&verdict, 0, sizeof(verdict));
    if (drop_privileges(account, &verdict) == 0) {
        sgi_library_open(path, &verdict, &handle);
        if (!verdict.refusal) sgi_library_get_table(handle, &verdict, &table);
    }
    do {
        written = write(out, &verdict, sizeof(verdict));
    } while (written < 0 && errno == EINTR);
    /* No exit(): neither httpd's handlers nor the library's may run. */
    _exit(written == sizeof(verdict) ? 0 : 1);
}

static apr_int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the child's verdict; 1 if it came, 0 at end of file, -1 if time ran out. */
static int receive(int in, sgi_verdict *verdict)
{
    apr_int64_t deadline = milliseconds() + CHECK_SECONDS * 1000;
    apr_size_t count = 0;

    while (count < sizeof(*verdict)) {
        struct pollfd item = { .fd = in, .events = POLLIN };
        apr_int64_t left = deadline - milliseconds();
        ssize_t n;

        if (left <= 0) return -1;
        if (poll(&item, 1, (int)left) <= 0) continue;
        n = read(in, (char *)verdict + count, sizeof(*verdict) - count);
        if (n == 0) return 0;
        if (n > 0) count += (apr_size_t)n;
        else if (errno != EINTR) return 0;
    }
    return 1;
}

void sgi_check_library(const char *path, const sgi_account *account, sgi_verdict *verdict)
{
    int ends[2], result, status = 0;
    pid_t pid;

    memset(verdict, 0, sizeof(*verdict));
    if (pipe2(ends, O_CLOEXEC) < 0) {
        fail(verdict, "pipe");
        return;
    }
    pid = fork();
    if (pid == 0) run_child(path, account, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        fail(verdict, "fork");
        close(ends[0]);
        return;
    }
    result = receive(ends[0], verdict);
    close(ends[0]);
    if (result < 0) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (result > 0) {
        /* What came out of another process is text only if it ends. */
        verdict->detail[sizeof(verdict->detail) - 1] = '\0';
        verdict->compiler[sizeof(verdict->compiler) - 1] = '\0';
        return;
    }
    memset(verdict, 0, sizeof(*verdict));
    verdict->refusal = result < 0 ? SGI_HUNG : SGI_CRASHED;
    if (result == 0 && WIFSIGNALED(status)) {
        apr_snprintf(verdict->detail, sizeof(verdict->detail), "signal %d, %s",
                     WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    else if (result < 0) {
        apr_snprintf(verdict->detail, sizeof(verdict->detail), "%d s", CHECK_SECONDS);
    }
}

/* Tries a library as each group's user that is to run it. */
static int check_for_groups(server_rec *s, int level, const sgi_library *library)
{
    const sgi_backend *backend;
    int refused = 0;

    for (backend = sgi_group_backends(); backend; backend = backend->next) {
        sgi_verdict verdict;

        if (strcmp(backend->library, library->path)) continue;
        sgi_check_library(library->path, &backend->group->account, &verdict);
        if (!verdict.refusal) continue;
        sgi_library_log_refusal(library, &verdict, level, s, NULL);
        refused++;
    }
    return refused;
}

/* Tries every declared library; the number of those that are refused, and of other
 * mistakes. */
static int check_all(server_rec *s, int level)
{
    const char *dynamic_path = NULL;
    sgi_verdict dynamic;
    sgi_library *library;
    int refused = sgi_route_check(s, level);

    memset(&dynamic, 0, sizeof(dynamic));
    for (library = sgi_library_first(); library; library = library->next) {
        sgi_verdict verdict;

        refused += check_for_groups(s, level, library);
        if (!library->is_embedded) continue;
        sgi_check_library(library->path, NULL, &verdict);
        if (dynamic_path) sgi_library_conflict(dynamic_path, &dynamic, &verdict);
        if (!verdict.refusal) {
            if (verdict.is_dynamic && !dynamic_path) {
                dynamic_path = library->path;
                dynamic = verdict;
            }
            continue;
        }
        sgi_library_log_refusal(library, &verdict, level, s, NULL);
        /* Children of a restarted server leave it alone: it may crash or hang. */
        library->state = SGI_REFUSED;
        refused++;
    }
    return refused;
}

/* Starting reads the configuration twice in a row, as generations 0 and 1; the
 * second time has nothing new. A restart reads it once, as a later one. */
#define IS_RESTART (ap_state_query(AP_SQ_CONFIG_GEN) > 1)

int sgi_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (IS_RESTART) {
        check_all(s, APLOG_ERR);
        return OK;
    }
    if (ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST) return OK;
    return check_all(s, APLOG_STARTUP | APLOG_CRIT) ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

int sgi_check_start(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_CONFIG_GEN) != 0) return OK;
    return check_all(s, APLOG_STARTUP | APLOG_CRIT) ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

/* Memory that all children of a generation share. */
static apr_status_t unmap(void *data)
{
    munmap(data, MAPPED_SIZE);
    return APR_SUCCESS;
}

int sgi_check_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    sgi_library *library;
    apr_size_t i = 0;
    int *counts =
        mmap(NULL, MAPPED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (counts != MAP_FAILED) {
        apr_pool_cleanup_register(pconf, counts, unmap, apr_pool_cleanup_null);
    }
    for (library = sgi_library_first(); library; library = library->next, i++) {
        sgi_library_identify(library->path, &library->identity, ptemp);
        if (counts != MAP_FAILED && i < MAPPED_SIZE / sizeof(int))
            library->crashes = counts + i;
    }
    return OK;
}
