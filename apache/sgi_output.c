/* sgi_output.c: the response, into the output filters: status and fields checked,
 * the body in buckets, and an end that tells the truth. */
#include "sgi_output.h"
#include "sgi_input.h"
#include "sgi_wait.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the head ---- */

static swiftgi_status refuse(swiftgi_request *x, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, SGI_LOGNO(0035)
                  "application %s: %s in the head of the response", x->application, what);
    return SWIFTGI_MISUSE;
}

static int is_text(swiftgi_bytes bytes)
{
    const unsigned char *c = bytes.start, *end = c + bytes.count;

    for (; c < end; c++) {
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f) return 0;
    }
    return 1;
}

static int is_token(swiftgi_bytes bytes)
{
    const unsigned char *c = bytes.start, *end = c + bytes.count;

    for (; c < end; c++) {
        if (!apr_isalnum(*c) && !(*c && strchr("!#$%&'*+-.^_`|~", *c))) return 0;
    }
    return bytes.count > 0;
}

/* Whether httpd is to answer in place of the application. */
static int is_overridden(const swiftgi_request *x, int status)
{
    const apr_array_header_t *statuses = x->config->error_statuses;
    int i;

    if (!x->config->error_override || status < 400) return 0;
    if (!statuses) return 1;
    for (i = 0; i < statuses->nelts; i++) {
        if (APR_ARRAY_IDX(statuses, i, int) == status) return 1;
    }
    return 0;
}

/* Takes back what was put into the head, as if nothing had been. */
static void clear_head(swiftgi_request *x)
{
    request_rec *r = x->r;

    /* Not HTTP_OK: by the status of an error document httpd knows not to look for
     * another one. */
    r->status = x->entry_status;
    r->status_line = NULL;
    apr_table_clear(r->headers_out);
    /* What mod_mime made of the library's name says nothing about the response. */
    ap_set_content_type(r, NULL);
    r->content_encoding = NULL;
    r->content_languages = NULL;
    x->has_validator = 0;
    x->answer = 0;
    x->unwanted = 0;
    x->surviving = NULL;
    x->remaining = -1;
}

/* httpd writes its own line for a status, "404 Not Found", and "500 Internal Server
 * Error" for one that it does not know. */
static void set_status_line(request_rec *r, int status, swiftgi_bytes reason)
{
    const char *standard = ap_get_status_line(status);

    if (atoi(standard) == status
        && (reason.count == 0
            || (strlen(standard) == reason.count + 4
                && !memcmp(standard + 4, reason.start, reason.count)))) {
        return;
    }
    r->status_line = apr_psprintf(r->pool, "%d %.*s", status, (int)reason.count,
                                  reason.count ? (const char *)reason.start : "");
}

swiftgi_status sgi_output_start(swiftgi_request *x, uint16_t status, swiftgi_bytes reason,
                                int64_t length)
{
    request_rec *r = x->r;

    if (x->sent) return refuse(x, "a second head");
    if (status >= 100 && status < 200 && status != HTTP_SWITCHING_PROTOCOLS) {
        x->interim = apr_table_make(r->pool, 4);
        x->interim_status = status;
        return SWIFTGI_OK;
    }
    if (status < 200 || status > 599) return refuse(x, "a status outside 200 to 599");
    if (!is_text(reason)) return refuse(x, "a control character in the reason");
    clear_head(x);
    x->interim = NULL;
    x->started = 1;
    if (is_overridden(x, status)) {
        x->answer = status;
        return SWIFTGI_OK;
    }
    /* Like a CGI program without Status: an error document need not repeat which
     * error it is for. It is not to be overridden then. */
    if (status == HTTP_OK && x->entry_status != HTTP_OK) {
        status = (uint16_t)x->entry_status;
        reason.count = 0;
    }
    r->status = status;
    set_status_line(r, status, reason);
    if (length >= 0) {
        ap_set_content_length(r, length);
        if (!r->header_only) x->remaining = length;
    }
    return SWIFTGI_OK;
}

/* Fields that concern a connection are httpd's (RFC 9110, section 7.6.1). */
static int is_hop_by_hop(const char *name, size_t length)
{
    switch (length) {
    case 2: return !ap_cstr_casecmp(name, "TE");
    case 7: return !ap_cstr_casecmp(name, "Trailer") || !ap_cstr_casecmp(name, "Upgrade");
    case 10:
        return !ap_cstr_casecmp(name, "Connection") || !ap_cstr_casecmp(name, "Keep-Alive");
    case 16: return !ap_cstr_casecmp(name, "Proxy-Connection");
    case 17: return !ap_cstr_casecmp(name, "Transfer-Encoding");
    case 18: return !ap_cstr_casecmp(name, "Proxy-Authenticate");
    case 19: return !ap_cstr_casecmp(name, "Proxy-Authorization");
    default: return 0;
    }
}

/* Fields of a replaced response that say more than its content. */
static int survives_override(const char *name)
{
    return !ap_cstr_casecmp(name, "WWW-Authenticate") || !ap_cstr_casecmp(name, "Allow")
           || !ap_cstr_casecmp(name, "Retry-After") || !ap_cstr_casecmp(name, "Set-Cookie");
}

swiftgi_status sgi_output_field(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes value)
{
    request_rec *r = x->r;
    const char *key, *text;

    if ((!x->started && !x->interim) || x->sent) return refuse(x, "a field out of turn");
    if (!is_token(name)) return refuse(x, "an illegal field name");
    if (!is_text(value)) return refuse(x, "a control character in a field's value");
    key = apr_pstrmemdup(r->pool, name.start, name.count);
    text = apr_pstrmemdup(r->pool, value.start, value.count);
    if (is_hop_by_hop(key, name.count)) return refuse(x, "a hop-by-hop field");
    if (x->interim) {
        apr_table_addn(x->interim, key, text);
        return SWIFTGI_OK;
    }
    switch (name.count) {
    case 4:
        if (!ap_cstr_casecmp(key, "ETag")) x->has_validator = 1;
        break;
    case 12:
        if (!ap_cstr_casecmp(key, "Content-Type")) {
            if (!x->answer) ap_set_content_type(r, text);
            return SWIFTGI_OK;
        }
        break;
    case 13:
        if (!ap_cstr_casecmp(key, "Last-Modified")) x->has_validator = 1;
        break;
    case 14:
        /* start() was told the length. */
        if (!ap_cstr_casecmp(key, "Content-Length")) return SWIFTGI_OK;
        break;
    default: break;
    }
    if (!x->answer) {
        apr_table_addn(r->headers_out, key, text);
    }
    else if (survives_override(key)) {
        if (!x->surviving) x->surviving = apr_table_make(r->pool, 2);
        apr_table_addn(x->surviving, key, text);
    }
    return SWIFTGI_OK;
}

/* Sends an informational response without waiting for the client. */
static void send_interim(swiftgi_request *x, int status, apr_table_t *fields)
{
    request_rec *r = x->r;
    apr_table_t *headers = r->headers_out;
    const char *line = r->status_line;
    int status_before = r->status, before = sgi_wait_set_nonblocking(x, 1);

    if (fields) r->headers_out = fields;
    r->status = status;
    r->status_line = NULL;
    ap_send_interim_response(r, fields != NULL);
    sgi_output_drain(x);
    sgi_wait_set_nonblocking(x, before);
    r->headers_out = headers;
    r->status = status_before;
    r->status_line = line;
}

swiftgi_status sgi_output_inform(swiftgi_request *x)
{
    if (!x->interim || x->sent) return SWIFTGI_MISUSE;
    send_interim(x, x->interim_status, x->interim);
    x->interim = NULL;
    x->interim_status = 0;
    return x->r->connection->aborted ? SWIFTGI_CLIENT_GONE : SWIFTGI_OK;
}

void sgi_output_continue(swiftgi_request *x)
{
    if (x->r->expecting_100 && !x->sent) send_interim(x, HTTP_CONTINUE, NULL);
}

swiftgi_status sgi_output_trailer(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes value)
{
    request_rec *r = x->r;
    const char *key;

    if (x->unwanted) return SWIFTGI_OK;
    if (!x->started || x->complete) return refuse(x, "a trailer out of turn");
    if (!is_token(name)) return refuse(x, "an illegal trailer name");
    if (!is_text(value)) return refuse(x, "a control character in a trailer's value");
    key = apr_pstrmemdup(r->pool, name.start, name.count);
    if (is_hop_by_hop(key, name.count)) return refuse(x, "a hop-by-hop trailer");
    apr_table_addn(r->trailers_out, key, apr_pstrmemdup(r->pool, value.start, value.count));
    return SWIFTGI_OK;
}

static void remove_filter(request_rec *r, const char *name)
{
    ap_filter_t *f;

    for (f = r->output_filters; f; f = f->next) {
        if (!ap_cstr_casecmp(f->frec->name, name)) {
            ap_remove_output_filter(f);
            return;
        }
    }
}

/* Before the first bucket: what httpd does for every complete resource. */
static void prepare(swiftgi_request *x)
{
    request_rec *r = x->r;
    const char *ranges = apr_table_get(r->headers_out, "Accept-Ranges");

    if (ranges && !ap_cstr_casecmp(ranges, "none")) remove_filter(r, "BYTERANGE");
    if (x->has_validator && r->method_number == M_GET && r->status == HTTP_OK) {
        int status = ap_meets_conditions(r);

        if (status != OK) x->answer = status;
    }
}

/* ---- the body ---- */

/* Whether it was not the client that failed but what was to be sent: a file that is
 * shorter than it was, or can't be read. httpd gives the connection up for both. */
static int is_failure_of_content(apr_status_t rv)
{
    return APR_STATUS_IS_EOF(rv) || rv == EFAULT || rv == EINVAL || rv == EIO || rv == ESTALE;
}

static swiftgi_status pass(swiftgi_request *x, uint32_t flags)
{
    request_rec *r = x->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_status_t rv;

    if (flags & SWIFTGI_LAST) {
        APR_BRIGADE_INSERT_TAIL(x->output, apr_bucket_eos_create(alloc));
    }
    else if (flags & SWIFTGI_FLUSH) {
        APR_BRIGADE_INSERT_TAIL(x->output, apr_bucket_flush_create(alloc));
    }
    x->sent = 1;
    rv = ap_pass_brigade(r->output_filters, x->output);
    apr_brigade_cleanup(x->output);
    if (rv == AP_FILTER_ERROR) {
        /* A filter had httpd answer in our place: 416, for a range that is not there. */
        x->answered = 1;
        return SWIFTGI_OK;
    }
    if (rv == APR_SUCCESS && (flags & SWIFTGI_LAST)) {
        x->complete = 1;
        return SWIFTGI_OK;
    }
    if (!is_failure_of_content(rv)
        && (r->connection->aborted || APR_STATUS_IS_ECONNABORTED(rv)
            || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_EPIPE(rv))) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r, SGI_LOGNO(0036)
                      "client closed the connection before the end of the response");
        return SWIFTGI_CLIENT_GONE;
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r, SGI_LOGNO(0038)
                      "an output filter or a file failed, the response is incomplete");
        return SWIFTGI_SERVER_ERROR;
    }
    if (r->header_only && (flags & SWIFTGI_FLUSH)) {
        /* This much is what the filters have to see of the answer to HEAD. */
        APR_BRIGADE_INSERT_TAIL(x->output, apr_bucket_eos_create(alloc));
        ap_pass_brigade(r->output_filters, x->output);
        apr_brigade_cleanup(x->output);
        x->complete = 1;
        x->unwanted = 1;
    }
    return SWIFTGI_OK;
}

/* What becomes of a piece that nobody wants. A body that is made while it is sent
 * might never end: it is told that there is no client for it. */
static swiftgi_status drop(swiftgi_request *x, uint32_t flags)
{
    if (flags & SWIFTGI_LAST) x->complete = 1;
    return flags & SWIFTGI_FLUSH && !(flags & SWIFTGI_LAST) ? SWIFTGI_CLIENT_GONE : SWIFTGI_OK;
}

/* Whether the piece has a place to go; if not, `*status` is what to return. */
static int may_send(swiftgi_request *x, uint32_t flags, swiftgi_status *status)
{
    if (!x->started || (x->complete && !x->unwanted)) {
        *status = SWIFTGI_MISUSE;
        return 0;
    }
    if (!x->output) {
        x->output = apr_brigade_create(x->r->pool, x->r->connection->bucket_alloc);
    }
    if (!x->sent && !x->answer) prepare(x);
    if (x->answer || x->answered) x->unwanted = 1;
    if (x->unwanted) {
        *status = drop(x, flags);
        return 0;
    }
    return 1;
}

/* Holds a piece against the length that start() was told: cuts what is too long,
 * and does not end what is too short. */
static swiftgi_status keep_length(swiftgi_request *x, apr_off_t *count, uint32_t *flags)
{
    if (x->remaining < 0) return SWIFTGI_OK;
    if (*count > x->remaining || ((*flags & SWIFTGI_LAST) && *count < x->remaining)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, SGI_LOGNO(0039)
                      "application %s: a body of another length than it said, by %"
                      APR_OFF_T_FMT " bytes", x->application, *count - x->remaining);
        *flags = *count > x->remaining ? *flags | SWIFTGI_LAST
                                       : (*flags & ~(uint32_t)SWIFTGI_LAST) | SWIFTGI_FLUSH;
        if (*count > x->remaining) *count = x->remaining;
        x->remaining -= *count;
        return SWIFTGI_MISUSE;
    }
    x->remaining -= *count;
    return SWIFTGI_OK;
}

void sgi_output_send_on(conn_rec *c)
{
    ap_filter_t *f = c->output_filters;

    while (f->next) f = f->next;
    if (f->frec->filter_func.out_func(f, NULL) != APR_SUCCESS) c->aborted = 1;
}

int sgi_output_drain(swiftgi_request *x)
{
    conn_rec *c = x->r->connection;

    /* A stream of HTTP/2 has no core filter of its own, and holds nothing back. */
    if (c->master || c->aborted || !c->data_in_output_filters) return 1;
    sgi_output_send_on(c);
    return c->aborted || !c->data_in_output_filters;
}

static swiftgi_status pass_without_waiting(swiftgi_request *x, uint32_t flags)
{
    int before = sgi_wait_set_nonblocking(x, 1);
    swiftgi_status status = pass(x, flags);
    int drained = 1;

    /* The end of the response leaves together with the request's. */
    if (status == SWIFTGI_OK && !x->complete) drained = sgi_output_drain(x);
    sgi_wait_set_nonblocking(x, before);
    /* A stream of HTTP/2 that has come to its end looks like one that was left. */
    if (x->r->connection->aborted && !x->complete) return SWIFTGI_CLIENT_GONE;
    return status == SWIFTGI_OK && !drained ? SWIFTGI_AGAIN : status;
}

swiftgi_status sgi_output_write(swiftgi_request *x, swiftgi_bytes piece, uint32_t flags)
{
    apr_bucket_alloc_t *alloc = x->r->connection->bucket_alloc;
    apr_off_t count = (apr_off_t)piece.count;
    swiftgi_status status, kept;

    if (!may_send(x, flags, &status)) return status;
    kept = keep_length(x, &count, &flags);
    piece.count = (size_t)count;
    if (piece.count > 0) {
        apr_bucket *e = flags & SWIFTGI_IMMORTAL
                            ? apr_bucket_immortal_create(piece.start, piece.count, alloc)
                            : apr_bucket_transient_create(piece.start, piece.count, alloc);
        APR_BRIGADE_INSERT_TAIL(x->output, e);
    }
    status = flags & SWIFTGI_NONBLOCKING ? pass_without_waiting(x, flags) : pass(x, flags);
    return kept != SWIFTGI_OK && (status == SWIFTGI_OK || status == SWIFTGI_AGAIN) ? kept
                                                                                   : status;
}

static apr_status_t close_file(void *data)
{
    close((int)(apr_uintptr_t)data);
    return APR_SUCCESS;
}

swiftgi_status sgi_output_send_file(swiftgi_request *x, int descriptor, int64_t offset,
                                    int64_t length, uint32_t flags)
{
    request_rec *r = x->r;
    core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    apr_int32_t file_flags = APR_FOPEN_READ | APR_FOPEN_BINARY;
    apr_os_file_t fd =
        flags & SWIFTGI_OWNED ? descriptor : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    apr_off_t count = length;
    apr_file_t *file;
    swiftgi_status status, kept;

    if (fd < 0) return SWIFTGI_SERVER_ERROR;
    /* httpd may still send when the application is done: the descriptor lives as
     * long as the request. */
    apr_pool_cleanup_register(r->pool, (void *)(apr_uintptr_t)fd, close_file,
                              apr_pool_cleanup_null);
    if (offset < 0 || length < 1) return SWIFTGI_MISUSE;
    if (!may_send(x, flags, &status)) return status;
    kept = keep_length(x, &count, &flags);
    if (count > 0) {
        apr_bucket *e;

        if (core->enable_sendfile == ENABLE_SENDFILE_ON)
            file_flags |= APR_FOPEN_SENDFILE_ENABLED;
        if (apr_os_file_put(&file, &fd, file_flags, r->pool) != APR_SUCCESS) {
            return SWIFTGI_SERVER_ERROR;
        }
        e = apr_brigade_insert_file(x->output, file, offset, count, r->pool);
        if (core->enable_mmap == ENABLE_MMAP_OFF) apr_bucket_file_enable_mmap(e, 0);
    }
    status = flags & SWIFTGI_NONBLOCKING ? pass_without_waiting(x, flags) : pass(x, flags);
    return kept != SWIFTGI_OK && (status == SWIFTGI_OK || status == SWIFTGI_AGAIN) ? kept
                                                                                   : status;
}

/* ---- the end ---- */

static int status_of(const swiftgi_request *x, swiftgi_status outcome)
{
    if (x->failure) return x->failure;
    switch (outcome) {
    case SWIFTGI_TOO_LARGE: return HTTP_REQUEST_ENTITY_TOO_LARGE;
    case SWIFTGI_CLIENT_GONE:
    case SWIFTGI_BAD_REQUEST: return HTTP_BAD_REQUEST;
    case SWIFTGI_TIMED_OUT: return HTTP_REQUEST_TIME_OUT;
    case SWIFTGI_EXPIRED: return HTTP_GATEWAY_TIME_OUT;
    case SWIFTGI_STOPPED: return HTTP_SERVICE_UNAVAILABLE;
    default: return HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* A filter may have kept the head back (mod_deflate waits for enough to compress):
 * then the client has seen nothing yet. */
static int is_head_on_its_way(const swiftgi_request *x)
{
    const ap_filter_t *f;

    if (!x->sent) return 0;
    for (f = x->r->output_filters; f; f = f->next) {
        /* The filter that sends it goes when it has: the core's, or mod_http2's. */
        if (!ap_cstr_casecmp(f->frec->name, "HTTP_HEADER")
            || !ap_cstr_casecmp(f->frec->name, "H2_C2_RESPONSE_OUT")) {
            return 0;
        }
    }
    return 1;
}

/* Nothing but the end of the connection ends such a response; or its client takes
 * nothing, and need not be waited for. */
static int ends_with_connection(const request_rec *r)
{
    if (!r->connection->master && r->connection->data_in_output_filters) return 1;
    return !r->main && !r->connection->master && !r->chunked
           && !apr_table_get(r->headers_out, "Content-Length");
}

/* A reset instead of the usual end of a connection, which would look like the end of
 * a complete response: it is closed at once, with nothing lingering. */
static void reset_at_close(conn_rec *c)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t fd;

    if (socket && apr_os_sock_get(&fd, socket) == APR_SUCCESS) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
}

/* Makes the client see that the response is not complete. */
static int abort_response(swiftgi_request *x)
{
    request_rec *r = x->r;
    conn_rec *c = r->connection;
    apr_bucket_alloc_t *alloc = c->bucket_alloc;
    int is_reset;

    c->keepalive = AP_CONN_CLOSE;
    /* A cache must not keep it either. */
    r->no_cache = 1;
    if (r->main) r->main->no_cache = 1;
    if (c->aborted) {
        /* Also for what could not be sent. */
        if (ends_with_connection(r)) reset_at_close(c);
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, SGI_LOGNO(0037)
                  "response aborted, the client sees that it is incomplete");
    /* The status of a broken backend keeps the chunk filter from writing a last
     * chunk, and mod_http2 resets the stream. */
    APR_BRIGADE_INSERT_TAIL(x->output,
                            ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(x->output, apr_bucket_eos_create(alloc));
    is_reset = ends_with_connection(r);
    if (is_reset && !c->data_in_output_filters) {
        APR_BRIGADE_INSERT_TAIL(x->output, apr_bucket_flush_create(alloc));
    }
    ap_pass_brigade(r->output_filters, x->output);
    apr_brigade_cleanup(x->output);
    if (is_reset) {
        reset_at_close(c);
        c->aborted = 1;
    }
    return OK;
}

int sgi_output_finish(swiftgi_request *x, swiftgi_status outcome)
{
    int status;

    /* These answers come when their time is over, and wait for nothing. */
    if (outcome == SWIFTGI_EXPIRED || outcome == SWIFTGI_STOPPED) sgi_input_discard(x);
    if (x->guard) ap_remove_output_filter(x->guard);
    if (x->answered) return OK;
    if (outcome == SWIFTGI_CLIENT_GONE && x->unwanted) {
        outcome = SWIFTGI_OK;
        x->complete = 1;
    }
    if (outcome == SWIFTGI_OK && !x->complete) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, SGI_LOGNO(0042)
                      "application %s returned without having completed its response",
                      x->application);
        outcome = SWIFTGI_FAILED;
    }
    if (x->complete && !x->answer) {
        /* The client has it all, whatever the application came to afterwards. */
        return OK;
    }
    if (outcome == SWIFTGI_OK) {
        status = x->answer;
        /* ap_die takes a status that is already set for an error in an error
         * document. A 304 keeps the fields of its head. */
        x->r->status = x->entry_status;
        if (x->surviving) {
            x->r->err_headers_out =
                apr_table_overlay(x->r->pool, x->r->err_headers_out, x->surviving);
        }
        return status;
    }
    if (is_head_on_its_way(x)) return abort_response(x);
    clear_head(x);
    return status_of(x, outcome);
}
