/* sgi_embedded.c: applications inside this process: the table that they get, and
 * their start and stop. */
#include "sgi_embedded.h"
#include "sgi_crash.h"
#include "sgi_environ.h"
#include "sgi_input.h"
#include "sgi_log.h"
#include "sgi_output.h"
#include "sgi_streams.h"
#include "sgi_wait.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <mpm_common.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* How long an application has to end, unless GracefulShutdownTimeout says: httpd
 * kills children about nine seconds after it told them to stop. */
#define STOP_MILLISECONDS 5000

/* After so many crashes at its start an application is left alone: each takes a
 * child with it, and httpd would do nothing but start children. */
#define START_CRASHES 3

static struct {
    apr_pool_t *pool;          /* of the child, for what is loaded at a request */
    apr_thread_mutex_t *mutex; /* held while a library is loaded at a request */
    server_rec *server;
    const char *dynamic_path; /* the library that brought a shared Swift runtime */
    sgi_verdict dynamic;
} child;

/* ---- what an application is given ---- */

bool sgi_embedded_is_client_gone(swiftgi_request *x)
{
    conn_rec *c = x->r->connection;
    apr_socket_t *socket;
    apr_os_sock_t fd;
    struct pollfd item;

    if (c->aborted) return true;
    /* The connection of an HTTP/2 stream has no socket of its own. */
    if (c->master) return c->master->aborted;
    socket = ap_get_conn_socket(c);
    if (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS) return false;
    item.fd = fd;
    item.events = POLLRDHUP;
    return poll(&item, 1, 0) > 0 && (item.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* What is true of this MPM. */
static uint32_t process_flags(void)
{
    int threaded = 0, threads = 1;
    uint32_t flags = 0;

    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    /* mod_http2 serves streams on threads of its own beside the MPM's. */
    if (threaded && (threads > 1 || ap_find_linked_module("mod_http2.c"))) {
        flags |= SWIFTGI_MULTITHREAD;
    }
    /* A graceful restart lets two generations overlap, however few children there
     * are; only a server that is being debugged (httpd -X) is alone. */
    if (!ap_exists_config_define("ONE_PROCESS") && !ap_exists_config_define("DEBUG")) {
        flags |= SWIFTGI_MULTIPROCESS;
    }
    return flags;
}

static void fill_server(swiftgi_server *server)
{
    static const char mode[] = "embedded";
    const char *software = ap_get_server_banner();

    memset(server, 0, sizeof(*server));
    server->abi = SWIFTGI_ABI_VERSION;
    server->flags = process_flags();
    server->size = sizeof(*server);
    server->mode.start = mode;
    server->mode.count = sizeof(mode) - 1;
    server->software.start = software;
    server->software.count = strlen(software);
    server->level = sgi_log_level(child.server);
    server->variable = sgi_environ_variable;
    server->variables = sgi_environ_variables;
    server->fields = sgi_environ_fields;
    server->line = sgi_environ_line;
    server->read = sgi_input_read;
    server->start = sgi_output_start;
    server->field = sgi_output_field;
    server->write = sgi_output_write;
    server->send_file = sgi_output_send_file;
    server->is_client_gone = sgi_embedded_is_client_gone;
    server->log = sgi_log_message;
    server->try_read = sgi_input_try_read;
    server->inform = sgi_output_inform;
    server->trailer = sgi_output_trailer;
    server->trailers = sgi_environ_trailers;
    server->waker = sgi_wait_waker;
    server->wake = sgi_wait_wake;
    server->release = sgi_wait_release;
    server->wait = sgi_wait_wait;
}

/* ---- start ---- */

static apr_status_t stop(void *data)
{
    sgi_library *library = data;
    int timeout = ap_graceful_shutdown_timeout;

    /* This may be a signal handler, in the middle of a request that does not go on:
     * prefork ends its children in one. */
    sgi_log_set_current(NULL);
    library->table->stop(library->table->application,
                         timeout > 0 ? (uint32_t)timeout * 1000 : STOP_MILLISECONDS);
    return APR_SUCCESS;
}

static void set_state(sgi_library *library, sgi_library_state state)
{
    /* Other threads look at the state before they look at anything else. */
    __atomic_store_n(&library->state, state, __ATOMIC_RELEASE);
}

/* The same file by another name, if it is here already, or NULL: what dlopen gives
 * for both is one application. */
static const sgi_library *find_twin(const sgi_library *library)
{
    const sgi_library *other;

    for (other = sgi_library_first(); other; other = other->next) {
        if (other != library && other->handle == library->handle
            && sgi_embedded_state(other) != SGI_UNLOADED) {
            return other;
        }
    }
    return NULL;
}

/* Loads a library. Returns whether its application is to be started; if not, the
 * state says what became of it. */
static int load(sgi_library *library, sgi_verdict *verdict, apr_pool_t *pool)
{
    const sgi_library *twin;

    if (geteuid() == 0) {
        memset(verdict, 0, sizeof(*verdict));
        verdict->refusal = SGI_ROOT;
        return 0;
    }
    sgi_crash_before_load();
    sgi_library_open(library->path, verdict, &library->handle);
    sgi_crash_after_load();
    if (verdict->refusal) return 0;
    apr_stat(&library->finfo, library->path, APR_FINFO_NORM, pool);
    if ((twin = find_twin(library)) != NULL) {
        library->table = twin->table;
        library->name = twin->name;
        set_state(library, sgi_embedded_state(twin));
        return 0;
    }
    sgi_library_get_table(library->handle, verdict, &library->table);
    if (child.dynamic_path) sgi_library_conflict(child.dynamic_path, &child.dynamic, verdict);
    if (verdict->refusal) return 0;
    sgi_streams_capture(library->handle);
    if (verdict->is_dynamic && !child.dynamic_path) {
        child.dynamic_path = library->path;
        child.dynamic = *verdict;
    }
    library->name =
        apr_pstrmemdup(pool, library->table->name.start, library->table->name.count);
    fill_server(&library->server);
    return 1;
}

static void start(sgi_library *library, apr_pool_t *pool, request_rec *r)
{
    sgi_verdict verdict;
    sigset_t all, before;
    swiftgi_status status;

    if (library->crashes && *library->crashes >= START_CRASHES) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, child.server, SGI_LOGNO(0024)
                     "application %s crashed %d times while it was being started: requests for "
                     "it get status 503 until the server is restarted", library->path,
                     *library->crashes);
        set_state(library, SGI_FAILED);
        return;
    }
    /* Threads that an application makes are not httpd's: signals are none of
     * their business, but for their own crashes. */
    sigfillset(&all);
    sgi_crash_remove_signals(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (!load(library, &verdict, pool)) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!verdict.refusal) return;
        sgi_library_log_refusal(library, &verdict, APLOG_ERR, child.server, r);
        set_state(library, SGI_REFUSED);
        return;
    }
    sgi_crash_enter_start(library->name, library->crashes);
    status = library->table->start(library->table->application, &library->server);
    sgi_crash_leave_start();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != SWIFTGI_OK) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, child.server, SGI_LOGNO(0022)
                     "application %s (%s) did not start: requests for it get status 503 until "
                     "the server is restarted", library->name, library->path);
        set_state(library, SGI_FAILED);
        return;
    }
    apr_pool_cleanup_register(pool, library, stop, apr_pool_cleanup_null);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, child.server, SGI_LOGNO(0021)
                 "application %s (%s) started", library->name, library->path);
    set_state(library, SGI_RUNNING);
}

/* What is printed at exit has no log any more. */
static apr_status_t release_streams(void *data)
{
    sgi_streams_release();
    return APR_SUCCESS;
}

void sgi_embedded_start(apr_pool_t *pchild, server_rec *s)
{
    sgi_library *library;

    memset(&child, 0, sizeof(child));
    child.server = s;
    apr_pool_create(&child.pool, pchild);
    apr_pool_tag(child.pool, "swiftgi_child");
    apr_thread_mutex_create(&child.mutex, APR_THREAD_MUTEX_DEFAULT, child.pool);
    sgi_log_set_server(s);
    sgi_wait_start(child.pool, s);
    sgi_streams_redirect();
    /* Before those of the applications, and so after them. */
    apr_pool_cleanup_register(child.pool, NULL, release_streams, apr_pool_cleanup_null);
    sgi_crash_prepare(s);
    for (library = sgi_library_first(); library; library = library->next) {
        if (library->is_embedded && library->state == SGI_UNLOADED)
            start(library, child.pool, NULL);
    }
}

sgi_library_state sgi_embedded_state(const sgi_library *library)
{
    return __atomic_load_n(&library->state, __ATOMIC_ACQUIRE);
}

sgi_library *sgi_embedded_find(request_rec *r)
{
    sgi_library *library;

    for (library = sgi_library_first(); library;
         library = __atomic_load_n(&library->next, __ATOMIC_ACQUIRE)) {
        if (!strcmp(library->path, r->filename)
            && sgi_embedded_state(library) != SGI_UNLOADED) {
            return library;
        }
    }
    apr_thread_mutex_lock(child.mutex);
    library = sgi_library_declare(child.pool, r->filename, NULL, NULL);
    if (sgi_embedded_state(library) == SGI_UNLOADED) start(library, child.pool, r);
    apr_thread_mutex_unlock(child.mutex);
    return library;
}

swiftgi_status sgi_embedded_serve(swiftgi_request *x)
{
    const swiftgi_application_table *table = x->library->table;
    /* An application's request may make another one for an application: SSI,
     * mod_rewrite's look-ups. */
    swiftgi_request *outer = sgi_log_current();
    swiftgi_status status;

    sgi_crash_prepare_thread();
    x->is_nested = outer != NULL;
    sgi_log_set_current(x);
    status = table->handle(table->application, x);
    sgi_streams_flush();
    sgi_log_set_current(outer);
    return status;
}

swiftgi_status sgi_embedded_resume(swiftgi_request *x, uint32_t events)
{
    const swiftgi_application_table *table = x->library->table;
    swiftgi_request *outer = sgi_log_current();
    swiftgi_status status;

    sgi_crash_prepare_thread();
    sgi_log_set_current(x);
    status = table->resume(table->application, x, x->task, events);
    sgi_streams_flush();
    sgi_log_set_current(outer);
    return status;
}
