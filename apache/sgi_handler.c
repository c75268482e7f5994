/* sgi_handler.c: the handler: what is checked before an application runs, and the
 * way through it. */
#include "sgi_handler.h"
#include "sgi_daemon.h"
#include "sgi_embedded.h"
#include "sgi_exchange.h"
#include "sgi_output.h"
#include "sgi_wait.h"

#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <apr_lib.h>
#include <apr_strings.h>

/* When a client may try an application again that did not start. */
#define RETRY_AFTER_SECONDS "30"

/* Whether a filter works on the content: it can only say what the head of a GET
 * would have been if it sees one. */
static int is_content_filtered(const request_rec *r)
{
    const ap_filter_t *f;

    for (f = r->output_filters; f && f->frec->ftype < AP_FTYPE_PROTOCOL - 1; f = f->next) {
        /* mod_headers' filter looks at the head only. */
        if (ap_cstr_casecmp(f->frec->name, "FIXUP_HEADERS_OUT")
            && ap_cstr_casecmp(f->frec->name, "FIXUP_HEADERS_ERR")) {
            return 1;
        }
    }
    return 0;
}

static int is_head_seen_as_get(const request_rec *r, int setting)
{
    if (!r->header_only || r->method_number != M_GET || setting == SGI_OFF) return 0;
    return setting == SGI_ON || is_content_filtered(r);
}

/* A body that is declared too large need not be read to be refused. */
static int check_length(request_rec *r)
{
    apr_off_t limit = ap_get_limit_req_body(r), length;
    const char *declared = apr_table_get(r->headers_in, "Content-Length");

    if (!declared || limit <= 0 || !ap_parse_strict_length(&length, declared)
        || length <= limit) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0033)
                  "request body of %" APR_OFF_T_FMT " bytes refused: LimitRequestBody is %"
                  APR_OFF_T_FMT, length, limit);
    return HTTP_REQUEST_ENTITY_TOO_LARGE;
}

static int check_library(request_rec *r, const sgi_library *library)
{
    if (sgi_embedded_state(library) == SGI_RUNNING) return OK;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, SGI_LOGNO(0023)
                  "application %s is not running, see the log since the server's start",
                  library->path);
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER_SECONDS);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* Finds who runs the application: a process group, or `*library` in this process. */
static int find_application(request_rec *r, const sgi_target *target,
                            const sgi_dir_config *config, const sgi_backend **backend,
                            sgi_library **library)
{
    const sgi_group *group;
    int status = sgi_route_select(r, target->alias, config, &group);

    if (status != OK) return status;
    if (!group) {
        *library = target->library;
        if (!*library || sgi_embedded_state(*library) == SGI_UNLOADED) {
            *library = sgi_embedded_find(r);
        }
        return check_library(r, *library);
    }
    *backend = sgi_group_backend(group, r->filename);
    if (*backend) return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0453)
                  "process group %s does not run %s: no SwiftGIScriptAlias names it",
                  group->name, r->filename);
    return HTTP_SERVICE_UNAVAILABLE;
}

int sgi_handler(request_rec *r)
{
    swiftgi_request *x;
    const sgi_target *target;
    const sgi_dir_config *config;
    const sgi_backend *backend = NULL;
    sgi_library *library = NULL;
    swiftgi_status outcome;
    int status;

    if (!r->handler || strcmp(r->handler, SGI_HANDLER)) return DECLINED;
    config = sgi_config_for(r);
    if ((status = sgi_target_resolve(r, &target)) != OK
        || (status = find_application(r, target, config, &backend, &library)) != OK
        || (status = check_length(r)) != OK) {
        return status;
    }
    x = apr_pcalloc(r->pool, sizeof(*x));
    x->r = r;
    x->entry_status = r->status;
    x->target = target;
    x->library = library;
    x->config = config;
    x->method = is_head_seen_as_get(r, x->config->map_head_to_get) ? "GET" : r->method;
    if (x->config->request_timeout > 0)
        x->deadline = r->request_time + x->config->request_timeout;
    sgi_wait_begin(x);
    if (backend) {
        x->application = apr_filepath_name_get(backend->library);
        x->resume = sgi_daemon_resume;
        outcome = sgi_daemon_serve(x, backend);
    }
    else {
        x->application = x->library->name;
        if (swiftgi_application_can_resume(x->library->table)) x->resume = sgi_embedded_resume;
        outcome = sgi_embedded_serve(x);
    }
    if (outcome == SWIFTGI_SUSPENDED) return SUSPENDED;
    status = sgi_output_finish(x, outcome);
    sgi_wait_end(x);
    return status;
}
