/* sgi_http.c: requests for HTTP servers that process groups run, until mod_proxy takes them.
 *
 * mod_proxy gets them early, so that sections, access and its own settings apply as to any
 * request that it takes, but under a name that stands for whichever process will do it. That is
 * decided last: what lies between the decision and the connection has to be short, since
 * processes come and go. */
#include "sgi_http.h"
#include "sgi_target.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_proxy.h>
#include <apr_atomic.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include <errno.h>
#include <unistd.h>

/* What mod_proxy takes for the server until it is known. No worker that anybody configures has
 * this name, so that no connection is kept: a kept one may lead to a process that is about to
 * end. */
#define PLACEHOLDER "proxy:http://swiftgi.invalid"

/* Of sockets; see mod_proxy's own handling of "unix:" in URLs. */
#define SOCKET_NOTE "uds_path"

/* Of what mod_proxy is about to do: the Host field, before it makes its own. */
#define HOST_NOTE "swiftgi-host"

/* The longest content of a link. */
#define ADDRESS_SIZE 128

/* How long the address of a process that is gone may be in a link. */
#define LINGERING apr_time_from_sec(1)

/* Until a process is ready. */
#define LOOK apr_time_from_msec(20)

#define RETRY_AFTER_SECONDS "30"

int sgi_http_translate(request_rec *r, const sgi_alias *alias, const char *rest)
{
    const char *path = r->uri;

    if (alias->server_path) path = apr_pstrcat(r->pool, alias->server_path, rest, NULL);
    r->filename = apr_pstrcat(r->pool, PLACEHOLDER, *path ? path : "/", NULL);
    r->proxyreq = PROXYREQ_REVERSE;
    r->handler = "proxy-server";
    return OK;
}

/* ---- addresses ---- */

/* The content of a link, which is an address; -1: there is none. */
static int read_link(const sgi_backend *backend, int number, char *address)
{
    char path[256];
    ssize_t length;

    apr_snprintf(path, sizeof(path), "%s.%d", backend->socket, number);
    length = readlink(path, address, ADDRESS_SIZE - 1);
    if (length <= 0) return -1;
    address[length] = '\0';
    return 0;
}

/* Of the processes that are ready the next; 0 if there is one. */
static int find_address(const sgi_backend *backend, char *address)
{
    int count = backend->group->processes, i;
    apr_uint32_t turn = apr_atomic_inc32(&backend->turns->next);

    for (i = 0; i < count; i++) {
        if (read_link(backend, (int)((turn + (apr_uint32_t)i) % (apr_uint32_t)count), address)
            == 0)
            return 0;
    }
    return -1;
}

static int refuse(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER_SECONDS);
    return HTTP_SERVICE_UNAVAILABLE;
}

static int await_address(request_rec *r, const sgi_backend *backend, char *address)
{
    const sgi_group *group = backend->group;
    apr_time_t end = group->queue_timeout ? apr_time_now() + group->queue_timeout : 0;
    int is_found;

    if (apr_atomic_inc32(&backend->turns->waiting) >= (apr_uint32_t)group->queue_limit) {
        apr_atomic_dec32(&backend->turns->waiting);
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0454)
                      "request refused: %d requests wait for a process of the process group %s to be "
                      "ready, and that is its queue-limit", group->queue_limit, group->name);
        return refuse(r);
    }
    do {
        apr_sleep(LOOK);
        is_found = find_address(backend, address) == 0;
    } while (!is_found && (!end || apr_time_now() < end));
    apr_atomic_dec32(&backend->turns->waiting);
    if (is_found) return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0455)
                  "no process of the process group %s was ready within its queue-timeout",
                  group->name);
    return HTTP_GATEWAY_TIME_OUT;
}

static int get_address(request_rec *r, const sgi_backend *backend, char *address)
{
    int status = OK;

    if (find_address(backend, address) < 0) status = await_address(r, backend, address);
    if (status != OK || strcmp(address, "-")) return status;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0456)
                  "request refused: no process of the process group %s can be started, see the log",
                  backend->group->name);
    return refuse(r);
}

/* ---- the handler ---- */

static int is_upgrade_to_websocket(request_rec *r)
{
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");
    const char *connection = apr_table_get(r->headers_in, "Connection");

    return r->method_number == M_GET && upgrade && connection
           && !ap_cstr_casecmp(upgrade, "websocket")
           && ap_find_token(r->pool, connection, "upgrade");
}

/* Puts the address before the rest of the URL: a socket's path or a port, whatever the group has now.
 * Around a restart the process is that of another generation. */
static void set_address(request_rec *r, const char *address, const char *rest)
{
    /* With this scheme mod_proxy_http forwards the field Upgrade. */
    const char *scheme = is_upgrade_to_websocket(r) ? "ws" : "http";

    if (*address != '/') {
        r->filename = apr_pstrcat(r->pool, "proxy:", scheme, "://", address, rest, NULL);
        apr_table_unset(r->notes, SOCKET_NOTE);
        return;
    }
    r->filename = apr_pstrcat(r->pool, "proxy:", scheme, "://swiftgi.invalid", rest, NULL);
    apr_table_setn(r->notes, SOCKET_NOTE, apr_pstrdup(r->pool, address));
}

/* Lets mod_proxy do it. If a process was killed, its address is refused for the moment until the
 * supervisor knows: then the request was not begun, and what mod_proxy has read of its body
 * serves for another try. */
static int serve(request_rec *r, const sgi_backend *backend)
{
    const char *rest = r->filename + sizeof(PLACEHOLDER) - 1;
    char address[ADDRESS_SIZE], refused[ADDRESS_SIZE] = "";
    apr_time_t end = 0;
    int status;

    for (;;) {
        status = get_address(r, backend, address);
        if (status != OK) return status;
        if (strcmp(address, refused)) {
            set_address(r, address, rest);
            /* It has its turn since this module leaves what has the note. */
            status = ap_run_handler(r);
            /* 503 is mod_proxy's own here; a server's is one of r->status. After an Expect it
             * may mean that the server did not answer that. */
            if (status != HTTP_SERVICE_UNAVAILABLE
                || apr_table_get(r->notes, "proxy-100-continue")) {
                return status;
            }
            apr_cpystrn(refused, address, sizeof(refused));
            end = apr_time_now() + LINGERING;
        }
        else if (apr_time_now() > end) return refuse(r);
        apr_sleep(LOOK);
    }
}

/* Before mod_proxy's handler. */
static int handle(request_rec *r)
{
    const sgi_alias *alias;
    const sgi_group *group;
    const char *host;
    int status;

    if (!r->proxyreq || !r->filename || apr_table_get(r->notes, HOST_NOTE)
        || strncmp(r->filename, PLACEHOLDER "/", sizeof(PLACEHOLDER))
        || !(alias = sgi_target_server(r))) {
        return DECLINED;
    }
    status = sgi_route_select(r, alias, sgi_config_for(r), &group);
    if (status != OK) return status;
    /* What was no mistake at the start may be one since a restart. */
    if (!group || !group->command) return HTTP_SERVICE_UNAVAILABLE;
    host = apr_table_get(r->headers_in, "Host");
    apr_table_setn(r->notes, HOST_NOTE, host ? host : r->server->server_hostname);
    /* Without waiting for a client that sends slowly: the process may go meanwhile. */
    apr_table_setn(r->subprocess_env, "proxy-prefetch-nonblocking", "1");
    return serve(r, sgi_group_server(group));
}

/* ---- what servers see ---- */

static int withholds_authorization(request_rec *r)
{
    int setting = sgi_config_for(r)->pass_authorization;

    return setting == SGI_AUTO ? ap_auth_type(r) != NULL : setting == SGI_OFF;
}

/* mod_proxy's: `headers_in` is what is sent, and the request's own is put back later. */
static int fix_head(request_rec *r)
{
    const char *host = apr_table_get(r->notes, HOST_NOTE);
    const sgi_alias *alias = host ? sgi_target_server(r) : NULL;

    if (!alias) return DECLINED;
    apr_table_setn(r->headers_in, "Host", host);
    /* What clients say about these is not to be believed. */
    apr_table_setn(r->headers_in, "X-Forwarded-Proto", ap_http_scheme(r));
    apr_table_unset(r->headers_in, "X-Forwarded-Prefix");
    if (alias->server_path && *alias->path)
        apr_table_setn(r->headers_in, "X-Forwarded-Prefix", alias->path);
    apr_table_unset(r->headers_in, "Proxy");
    if (withholds_authorization(r)) apr_table_unset(r->headers_in, "Authorization");
    return OK;
}

void sgi_http_register(void)
{
    static const char *const before_proxy[] = { "mod_proxy.c", NULL };

    ap_hook_handler(handle, NULL, before_proxy, APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(proxy, fixups, fix_head, NULL, NULL, APR_HOOK_MIDDLE);
}
