/* sgi_crash.c: saying which application killed the process.
 *
 * A Swift trap can't be caught. What can be done before the process ends: name
 * the application and the request, leave a copy of the process behind for Swift's
 * backtrace, and hand on to httpd's own handler, which ends the process.
 *
 * A copy, because a backtrace takes seconds, in which the crashed process would
 * hold its connections open, and because Swift suspends all other threads for it,
 * which httpd's threads, with their signals blocked, do not permit. The copy has
 * only the one thread, with the memory and the registers of the moment. */
#include "sgi_crash.h"
#include "sgi_config.h"
#include "sgi_exchange.h"
#include "sgi_log.h"
#include "sgi_streams.h"

#include <http_core.h>
#include <apr_portable.h>
#include <apr_strings.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SIGNAL_STACK_SIZE (64 * 1024)

/* A backtrace that takes longer is given up: the backtracer can hang. */
#define BACKTRACE_SECONDS 60

/* A crashed process that is not gone by then is ended. */
#define REPORT_SECONDS 10

static const struct fatal {
    int number;
    const char *name;
} fatals[] = {
    { SIGILL, "SIGILL" }, { SIGTRAP, "SIGTRAP" }, { SIGSEGV, "SIGSEGV" },
    { SIGBUS, "SIGBUS" }, { SIGABRT, "SIGABRT" }, { SIGFPE, "SIGFPE" },
};

#define FATAL_COUNT (sizeof(fatals) / sizeof(fatals[0]))

/* What httpd does with each signal, and what the first Swift runtime installed;
 * sa_handler is SIG_DFL where there is nothing. */
static struct sigaction server_action[FATAL_COUNT], swift_action[FATAL_COUNT];
static int installed;

/* The application that is being started, or NULL. */
static const char *starting;
static int *start_crashes;

/* ---- in the signal handler ----
 *
 * Only what is safe there, but for one thing: a request that has no id yet gets one,
 * for which httpd may have to allocate. Should that hang, because the crash was in
 * the allocator, an alarm ends the process. */

typedef struct line {
    char text[1024];
    apr_size_t count;
} line;

static void append(line *l, const char *text)
{
    while (text && *text && l->count < sizeof(l->text) - 1) {
        /* What a client sent must not end the line. */
        l->text[l->count++] = (unsigned char)*text < 0x20 ? '?' : *text;
        text++;
    }
}

static void append_number(line *l, unsigned long number)
{
    char digits[24];
    int i = sizeof(digits) - 1;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    append(l, digits + i);
}

static int log_descriptor(const server_rec *s)
{
    apr_os_file_t fd;

    return s && s->error_log && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS
               ? fd
               : STDERR_FILENO;
}

static int report(const char *signal_name, const swiftgi_request *x)
{
    int out = STDERR_FILENO;
    line l = { .count = 0 };
    ssize_t written;

    append(&l, "[swiftgi:crit] [pid ");
    append_number(&l, (unsigned long)getpid());
    append(&l, "] SGI0041: ");
    if (x) {
        out = log_descriptor(x->r->server);
        append(&l, "application ");
        append(&l, x->application);
        append(&l, " was killed by ");
        append(&l, signal_name);
        append(&l, " while it served request ");
        append(&l, sgi_log_request_id(x->r));
        append(&l, " (");
        append(&l, x->r->method);
        append(&l, " ");
        append(&l, x->r->uri);
        append(&l, ")");
    }
    else if (starting) {
        append(&l, "application ");
        append(&l, starting);
        append(&l, " was killed by ");
        append(&l, signal_name);
        append(&l, " while it was being started");
    }
    else {
        append(&l, "process was killed by ");
        append(&l, signal_name);
        append(&l, " on a thread that served no request");
    }
    l.text[l.count++] = '\n';
    do {
        written = write(out, l.text, l.count);
    } while (written < 0 && errno == EINTR);
    return out;
}

static void limit_time(void)
{
    sigset_t alarm_only;

    signal(SIGALRM, SIG_DFL);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    alarm(REPORT_SECONDS);
}

/* Runs Swift's handler in a copy of the process, with the log as its stderr. */
static void backtrace_in_copy(const struct sigaction *action, int number, siginfo_t *info,
                              void *context, int log)
{
    sigset_t none;

    if (!(action->sa_flags & SA_SIGINFO) || _Fork() != 0) return;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    alarm(BACKTRACE_SECONDS);
    dup2(log, STDERR_FILENO);
    sgi_streams_release();
    /* The connections and listeners are to close with the process. */
    close_range(3, ~0U, 0);
    action->sa_sigaction(number, info, context);
    _exit(0);
}

static void handle_signal(int number, siginfo_t *info, void *context)
{
    static int crashing;
    apr_size_t i;

    for (i = 0; i + 1 < FATAL_COUNT && fatals[i].number != number; i++) continue;
    /* Of several threads that crash at a time the first is the one to look at. */
    if (!__atomic_exchange_n(&crashing, 1, __ATOMIC_SEQ_CST)) {
        int log;

        limit_time();
        if (starting && start_crashes) __atomic_add_fetch(start_crashes, 1, __ATOMIC_SEQ_CST);
        log = report(fatals[i].name, sgi_log_current());
        backtrace_in_copy(&swift_action[i], number, info, context, log);
    }
    sigaction(number, &server_action[i], NULL);
    if (server_action[i].sa_flags & SA_SIGINFO) {
        server_action[i].sa_sigaction(number, info, context);
    }
    else if (server_action[i].sa_handler != SIG_DFL && server_action[i].sa_handler != SIG_IGN) {
        server_action[i].sa_handler(number);
    }
    else {
        signal(number, SIG_DFL);
        raise(number);
    }
}

/* ---- before ---- */

/* Where toolchains and packages put the program. */
static const char *find_backtracer(void)
{
    static const char *const places[] = {
        "/usr/libexec/swift/linux/swift-backtrace-static",
        "/usr/local/libexec/swift/linux/swift-backtrace-static",
        "/opt/swift/usr/libexec/swift/linux/swift-backtrace-static",
        "/usr/share/swift/usr/libexec/swift/linux/swift-backtrace-static",
    };
    apr_size_t i;

    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], X_OK) == 0) return places[i];
    }
    return NULL;
}

const char *sgi_crash_settings(apr_pool_t *pool, const char *program, const char **tried)
{
    if (!program) program = find_backtracer();
    *tried = program ? program : "swift-backtrace";
    if (!program || access(program, X_OK) < 0) return NULL;
    return apr_pstrcat(pool,
                       "enable=yes,interactive=no,color=no,threads=crashed,images=none,"
                       "registers=none,swift-backtrace=",
                       program, NULL);
}

void sgi_crash_prepare(server_rec *s)
{
    const sgi_global_config *global = sgi_config_global();
    const char *settings, *tried;

    setenv("SWIFT_BACKTRACE", SGI_CRASH_NO_BACKTRACE, 1);
    if (!global->backtrace) return;
    settings = sgi_crash_settings(s->process->pool, global->backtracer, &tried);
    if (!settings) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, SGI_LOGNO(0040)
                     "SwiftGIBacktrace: %s cannot be run, crashes are logged without "
                     "backtrace; name the swift-backtrace of the Swift toolchain", tried);
        return;
    }
    setenv("SWIFT_BACKTRACE", settings, 1);
    /* A process that changed its user can't be looked into otherwise. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

void sgi_crash_before_load(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    apr_size_t i;

    if (!installed) {
        for (i = 0; i < FATAL_COUNT; i++) sigaction(fatals[i].number, NULL, &server_action[i]);
    }
    /* One runtime's handler serves all. */
    if (!sgi_config_global()->backtrace || swift_action[0].sa_handler != SIG_DFL) return;
    for (i = 0; i < FATAL_COUNT; i++) sigaction(fatals[i].number, &standard, NULL);
}

void sgi_crash_after_load(void)
{
    struct sigaction ours = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
    apr_size_t i;

    ours.sa_sigaction = handle_signal;
    sigemptyset(&ours.sa_mask);
    for (i = 0; i < FATAL_COUNT; i++) {
        struct sigaction present;

        sigaction(fatals[i].number, NULL, &present);
        if (present.sa_sigaction == handle_signal) continue;
        if (sgi_config_global()->backtrace) swift_action[i] = present;
        sigaction(fatals[i].number, &ours, NULL);
    }
    installed = 1;
}

void sgi_crash_remove_signals(sigset_t *signals)
{
    apr_size_t i;

    for (i = 0; i < FATAL_COUNT; i++) sigdelset(signals, fatals[i].number);
}

void sgi_crash_enter_start(const char *name, int *crashes)
{
    starting = name;
    start_crashes = crashes;
}

void sgi_crash_leave_start(void)
{
    starting = NULL;
    start_crashes = NULL;
}

static pthread_key_t stack_key;

static void free_stack(void *stack)
{
    stack_t none = { .ss_flags = SS_DISABLE };

    sigaltstack(&none, NULL);
    munmap(stack, SIGNAL_STACK_SIZE);
}

static void make_stack_key(void)
{
    pthread_key_create(&stack_key, free_stack);
}

void sgi_crash_prepare_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static __thread int prepared;
    stack_t stack = { .ss_size = SIGNAL_STACK_SIZE }, present;

    if (prepared) return;
    prepared = 1;
    if (sigaltstack(NULL, &present) == 0 && !(present.ss_flags & SS_DISABLE)) return;
    pthread_once(&once, make_stack_key);
    stack.ss_sp = mmap(NULL, SIGNAL_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack.ss_sp == MAP_FAILED) return;
    sigaltstack(&stack, NULL);
    pthread_setspecific(stack_key, stack.ss_sp);
}
