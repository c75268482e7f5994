/* sgi_input.c: the body of a request, out of the input filters, in bounded
 * pieces. */
#include "sgi_input.h"
#include "sgi_output.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#define GUARD_NAME "SWIFTGI_INPUT_GUARD"

/* At most about this much of a body that nobody wants is read. */
#define DISCARD_SIZE (256 * 1024)

/* At most this much is asked of the filters at a time. */
#define PIECE_SIZE (64 * 1024)

/* How often, and how many microseconds apart, the end of an HTTP/2 stream is looked at. */
#define LOOKS 10
#define LOOK_MICROSECONDS 50

static ap_filter_rec_t *guard_record;

/* httpd's HTTP input filter answers a malformed body by itself: it sends an error
 * bucket down the output. That would take the response out of the application's
 * hands, and end one that has begun as if it were complete. This filter takes
 * such a bucket out while input is being read, so that the error becomes what the
 * application's read() returns. */
static apr_status_t guard_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    swiftgi_request *x = f->ctx;
    apr_bucket *e;

    if (x->reading) {
        for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
            if (AP_BUCKET_IS_ERROR(e)) {
                x->input_error = ((ap_bucket_error *)e->data)->status;
                apr_brigade_cleanup(bb);
                return AP_FILTER_ERROR;
            }
        }
    }
    return ap_pass_brigade(f->next, bb);
}

void sgi_input_register(void)
{
    guard_record =
        ap_register_output_filter(GUARD_NAME, guard_filter, NULL, AP_FTYPE_RESOURCE - 1);
}

/* An error of the input filters as what the application gets. */
static swiftgi_status status_of(swiftgi_request *x, apr_status_t rv)
{
    int status = x->input_error ? x->input_error : ap_map_http_request_error(rv, 0);

    switch (status) {
    case HTTP_REQUEST_ENTITY_TOO_LARGE: return SWIFTGI_TOO_LARGE;
    case HTTP_REQUEST_TIME_OUT: return SWIFTGI_TIMED_OUT;
    case 0:
    case AP_FILTER_ERROR:
        /* No filter had an opinion: the connection broke or the body ended early. */
        if (APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_INCOMPLETE(rv)
            || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv)
            || x->r->connection->aborted) {
            return SWIFTGI_CLIENT_GONE;
        }
        return SWIFTGI_BAD_REQUEST;
    default:
        return status < 500 || status == HTTP_NOT_IMPLEMENTED ? SWIFTGI_BAD_REQUEST
                                                              : SWIFTGI_SERVER_ERROR;
    }
}

static swiftgi_status failed(swiftgi_request *x, apr_status_t rv)
{
    x->input_status = status_of(x, rv);
    /* Where the body ends is unknown, and with it where the next request begins. */
    x->r->connection->keepalive = AP_CONN_CLOSE;
    ap_log_rerror(APLOG_MARK, x->input_status == SWIFTGI_SERVER_ERROR ? APLOG_ERR : APLOG_DEBUG,
                  rv, x->r, SGI_LOGNO(0034) "request body could not be read, application status %d",
                  (int)x->input_status);
    return x->input_status;
}

/* Whether the request has a body, or may have one. */
static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    if (length) return strcmp(length, "0") != 0;
    return r->connection->master || apr_table_get(r->headers_in, "Transfer-Encoding");
}

/* Whether what looks like the end of the body is that of a stream that the client has reset:
 * mod_http2 2.0 puts an end to the input of either, and then marks the stream. A length tells
 * for certain, since a stream that ends of itself has all of it. */
static int was_reset(const swiftgi_request *x)
{
    const request_rec *r = x->r;
    const conn_rec *c = r->connection;
    const char *length;
    int looks;

    if (!c->master || r->main) return 0;
    length = apr_table_get(r->headers_in, "Content-Length");
    /* Who answers in the place of another handler has what that one has left. */
    if (length && (!r->prev || r->prev->status == HTTP_OK))
        return x->received < apr_atoi64(length);
    /* The mark follows within a tenth of a millisecond, if the machine is not busy. Where nothing
     * was waited for there was no body to begin with. */
    if (!length && (x->has_waited || x->received) && apr_is_empty_table(r->trailers_in)) {
        for (looks = 0; looks < LOOKS && !c->aborted; looks++) apr_sleep(LOOK_MICROSECONDS);
    }
    return c->aborted;
}

static apr_status_t fill(swiftgi_request *x, size_t capacity, apr_read_type_e block)
{
    apr_off_t size = capacity < PIECE_SIZE ? (apr_off_t)capacity : PIECE_SIZE;
    apr_status_t rv;

    if (!x->input) {
        x->input = apr_brigade_create(x->r->pool, x->r->connection->bucket_alloc);
        x->guard = ap_add_output_filter_handle(guard_record, x, x->r, x->r->connection);
    }
    x->reading = 1;
    rv = ap_get_brigade(x->r->input_filters, x->input, AP_MODE_READBYTES, block, size);
    x->reading = 0;
    if (x->input_error && rv == APR_SUCCESS) rv = AP_FILTER_ERROR;
    return rv;
}

/* Copies what the brigade holds; sets input_ended at its end. */
static apr_status_t drain(swiftgi_request *x, char *buffer, size_t capacity, size_t *count,
                          apr_read_type_e block)
{
    while (*count < capacity && !APR_BRIGADE_EMPTY(x->input)) {
        apr_bucket *e = APR_BRIGADE_FIRST(x->input);
        const char *data;
        apr_size_t length;
        apr_status_t rv;

        if (APR_BUCKET_IS_EOS(e)) {
            if (was_reset(x)) return APR_ECONNABORTED;
            x->input_ended = 1;
            apr_brigade_cleanup(x->input);
            break;
        }
        if (APR_BUCKET_IS_METADATA(e)) {
            apr_bucket_delete(e);
            continue;
        }
        rv = apr_bucket_read(e, &data, &length, block);
        if (rv != APR_SUCCESS) return rv;
        if (length > capacity - *count) {
            length = capacity - *count;
            apr_bucket_split(e, length);
        }
        memcpy(buffer + *count, data, length);
        *count += length;
        x->received += (apr_off_t)length;
        apr_bucket_delete(e);
    }
    return APR_SUCCESS;
}

static swiftgi_status read_body(swiftgi_request *x, void *buffer, size_t capacity,
                                size_t *count, apr_read_type_e block)
{
    /* To know whether there is anything to wait for; see was_reset(). */
    apr_read_type_e kind =
        x->r->connection->master && !x->has_waited ? APR_NONBLOCK_READ : block;
    apr_status_t rv;

    *count = 0;
    if (x->input_status != SWIFTGI_OK) return x->input_status;
    for (;;) {
        rv = APR_SUCCESS;
        if (x->input) {
            rv = drain(x, buffer, capacity, count, block);
            if (rv != APR_SUCCESS
                && !(APR_STATUS_IS_EAGAIN(rv) && block == APR_NONBLOCK_READ)) {
                return failed(x, rv);
            }
        }
        if (*count > 0 || x->input_ended || capacity == 0) return SWIFTGI_OK;
        if (rv != APR_SUCCESS) return SWIFTGI_AGAIN;
        rv = fill(x, capacity, kind);
        if (kind == APR_NONBLOCK_READ
            && (APR_STATUS_IS_EAGAIN(rv)
                || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(x->input)))) {
            x->has_waited = 1;
            if (kind != block) {
                kind = block;
                continue;
            }
            /* httpd's filter answers "Expect: 100-continue" only when it may block. */
            sgi_output_continue(x);
            return SWIFTGI_AGAIN;
        }
        if (rv != APR_SUCCESS) return failed(x, rv);
    }
}

swiftgi_status sgi_input_read(swiftgi_request *x, void *buffer, size_t capacity, size_t *count)
{
    return read_body(x, buffer, capacity, count, APR_BLOCK_READ);
}

swiftgi_status sgi_input_try_read(swiftgi_request *x, void *buffer, size_t capacity,
                                  size_t *count)
{
    return read_body(x, buffer, capacity, count, APR_NONBLOCK_READ);
}

void sgi_input_discard(swiftgi_request *x)
{
    request_rec *r = x->r;
    char buffer[8192];
    size_t count, total = 0;

    if (r->main || r->connection->aborted || x->input_ended || x->input_status != SWIFTGI_OK
        || !has_body(r)) {
        return;
    }
    /* Who waits for the word to send it is not to be given it now. */
    if (!r->connection->master && !r->expecting_100) {
        while (total < DISCARD_SIZE
               && read_body(x, buffer, sizeof(buffer), &count, APR_NONBLOCK_READ)
                      == SWIFTGI_OK) {
            if (count == 0) return;
            total += count;
        }
    }
    r->connection->keepalive = AP_CONN_CLOSE;
}
