/* sgi_daemon.c: requests that a daemon serves: FastCGI 1.0 over a Unix socket.
 *
 * Both directions flow at once and nothing is waited for that the other side may be waiting for
 * us to do first: what can be sent is sent, what has come is passed on, and only when neither is
 * possible the request waits, for all of what could change that at the same time. No more of
 * either direction is held than a buffer has.
 *
 * What FastCGI lacks for an application to see and to say what it does inside httpd, the module
 * and its daemons add. The module announces it with the variable SWIFTGI_EXTENSIONS, whose value
 * is "1"; a server that does not know it does nothing of this, and all goes as FastCGI has it.
 * Applications don't see these variables.
 *
 *   SWIFTGI_REQUEST_ID   the request's id in httpd's log, swiftgi.request_id for the application
 *   SWIFTGI_FIELDS       the header fields that no variable stands for, "name: value\r\n" each;
 *                        left out if there are none
 *
 * The response is CGI's in FCGI_STDOUT, but for this: a head with a status of 100 to 199 (other
 * than 101) is an informational response, and another head follows it. FCGI_STDERR is lines of
 * "[level] [request id] text", with the names of swift-log's levels; a line without them is an
 * error's. The application status in FCGI_END_REQUEST is a swiftgi_status. If it is not
 * SWIFTGI_OK, the response is not complete: the module answers with what handle() of swiftgi.h
 * would have come to, or breaks the response off if its head was sent.
 *
 * Further types of records, numbers in network byte order:
 *
 *   64  from the daemon: a part of a file as the next piece of the body. 8 bytes of offset, 8 of
 *       length, 1 or more. The descriptor of the regular file comes as SCM_RIGHTS with the
 *       message whose first byte is the first of this record; one for each record. The module
 *       sends the part without reading it and closes the descriptor.
 *   65  from either: fields behind the body, "name: value\r\n" each; before the end of the
 *       stream, FCGI_STDIN or FCGI_STDOUT, that they belong to. One record.
 *   66  from the module: in place of the end of FCGI_STDIN. One byte, a swiftgi_status: what the
 *       application's reads come to when they have read all before it.
 *   67  from the daemon, empty: the application wants to read. The body of a request with
 *       "Expect: 100-continue" is not asked for before that.
 *   68  from the module, empty: the server wants to end, SWIFTGI_STOPPING of swiftgi.h.
 *   69  from the module: the request is cancelled. One byte, a swiftgi_status: what it comes to,
 *       which the application is told. Its end is waited for a moment; what it sends before is
 *       dropped, but for the log. A client that is gone is FCGI_ABORT_REQUEST. */
#include "sgi_daemon.h"
#include "sgi_environ.h"
#include "sgi_fastcgi.h"
#include "sgi_head.h"
#include "sgi_input.h"
#include "sgi_link.h"
#include "sgi_log.h"
#include "sgi_output.h"
#include "sgi_wait.h"

#include <ap_mpm.h>
#include <http_protocol.h>
#include <apr_strings.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE (32 * 1024)
#define SPARE_BUFFERS 64

/* A request that is this short goes as one message, which a daemon reads as a whole or not at
 * all. */
#define MESSAGE_SIZE (16 * 1024)

/* How long a cancelled request may take to end. */
#define CANCEL_MICROSECONDS 100000

/* With less room than this in the buffer no more of a body is added to what was sent. */
#define SMALLEST_PIECE 4096

/* What daemons take of variables. */
#define VARIABLES_LIMIT (1024 * 1024)

/* What applications may say in a head, and behind a body. */
#define HEAD_LIMIT (256 * 1024)
#define TRAILERS_LIMIT (64 * 1024)

/* A line on FCGI_STDERR that is longer is cut in pieces. */
#define LINE_SIZE 4096

/* How often a request is sent, until a daemon begins with it. */
#define ATTEMPTS 3

/* How long a thread waits for an answer before it goes on to other requests, if there are not
 * too many that do so already. */
#define SHORT_WAIT_MICROSECONDS 150

/* How often in that time it is seen whether a daemon has begun to read a body. Then, how long
 * until it is looked at next, the double each time. */
#define PICKUP_LOOKS 5
#define FIRST_LOOK_MICROSECONDS 1000
#define LAST_LOOK_MICROSECONDS 100000

/* For an application to ask for a body that its client holds back: then it is asked for anyway. */
#define INVITATION_SECONDS 1

/* When a client may try again whose request was turned away. */
#define RETRY_AFTER_SECONDS "5"

typedef struct buffer {
    struct buffer *next;
    unsigned char bytes[BUFFER_SIZE];
} buffer;

static struct {
    pthread_mutex_t mutex;
    buffer *first;
    int count;
} spare = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static int lingerers; /* threads that wait for an answer; atomic */
static int lingerers_limit;

/* Whose turn it is with the body of the request. */
typedef enum input_state {
    INPUT_HELD,    /* the client's, who waits to be asked for it */
    INPUT_FLOWING, /* there is more */
    INPUT_ENDED    /* all of it, and its end, is in the buffer or was sent */
} input_state;

/* One request on its way through a daemon; of the request's pool. */
struct sgi_forward {
    swiftgi_request *x;
    const sgi_backend *backend;
    sgi_link *link; /* NULL: none, or not any more */
    int attempts;

    /* To the daemon. */
    buffer *buffer;     /* or NULL */
    unsigned char *out; /* its bytes, or of the pool */
    size_t capacity;    /* of `out` */
    size_t start, end;  /* what of `out` is to be sent */
    int is_replayable;  /* boolean: `out` has all that was sent since the request began */
    size_t messages;    /* the most that what was sent can be to the one who reads it */
    int is_deaf;        /* boolean: the daemon takes nothing more */
    int is_too_large;   /* boolean: the variables are */
    input_state input;
    input_state input_before; /* the daemon did not take more */
    uint16_t id;
    int waits_to_be_taken;       /* boolean: no more is sent before a daemon has the begin */
    apr_interval_time_t look;    /* how long until it is seen whether one has it */
    int waits_to_send;           /* boolean: there was no room */
    int waits_for_input;         /* boolean: the client has sent no more so far */
    int knows_extensions;        /* boolean, until the daemon says otherwise */
    swiftgi_status input_status; /* not SWIFTGI_OK: the body could not be read */

    /* From the daemon. */
    sgi_fastcgi_decoder decoder;
    int is_answered;     /* boolean: a byte has come */
    int has_head;        /* boolean: the head is complete */
    int has_ended;       /* boolean: FCGI_END_REQUEST has come */
    int is_clean;        /* boolean: and nothing behind it */
    int is_broken;       /* boolean: what comes makes no sense any more */
    int was_cancelled;   /* boolean: the daemon was told that nobody wants the response */
    uint32_t end_status; /* of the end of a request that was cancelled */
    int was_reset;       /* boolean: the daemon closed without having read all */
    int is_blocked;      /* boolean: the client has to take what was passed on first */
    int is_bulk;         /* boolean: what came last filled the buffer */
    char *text;          /* of a head, or trailers, that is not complete; or NULL */
    size_t text_count, text_capacity;
    int scan;
    swiftgi_bytes piece; /* of the body, to be passed on */
    int has_unflushed;   /* boolean: something was passed on without a flush */
    char *line;          /* the begin of one for the log, or NULL */
    size_t line_count;

    /* Time: 0 until it has waited for long. */
    apr_time_t began;      /* when the request was sent */
    apr_time_t taken;      /* when a daemon was seen to have it */
    apr_time_t progressed; /* when bytes went from or to the daemon last */
    apr_time_t sent;       /* when bytes went to it last */
    int has_progressed;    /* boolean: since those were set */
    int has_sent_more;     /* boolean: since those were set */
};
typedef struct sgi_forward forward;

/* What a request waits for: nothing to be done before that. None of the outcomes. */
#define NOT_YET SWIFTGI_AGAIN

void sgi_daemon_start(apr_pool_t *pchild, server_rec *s)
{
    int threads = 1;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    lingerers_limit = threads > 1 ? threads / 2 : 1;
    sgi_link_start();
}

/* ---- buffers ---- */

static buffer *take_buffer(void)
{
    buffer *taken;

    pthread_mutex_lock(&spare.mutex);
    taken = spare.first;
    if (taken) {
        spare.first = taken->next;
        spare.count--;
    }
    pthread_mutex_unlock(&spare.mutex);
    return taken ? taken : malloc(sizeof(*taken));
}

static void give_buffer(buffer *given)
{
    if (!given) return;
    pthread_mutex_lock(&spare.mutex);
    if (spare.count < SPARE_BUFFERS) {
        given->next = spare.first;
        spare.first = given;
        spare.count++;
        given = NULL;
    }
    pthread_mutex_unlock(&spare.mutex);
    free(given);
}

/* ---- failures ---- */

/* The request fails, and its client gets this status or a broken response. */
static swiftgi_status fail(forward *f, int status)
{
    f->x->failure = status;
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(f->x->r->err_headers_out, "Retry-After", RETRY_AFTER_SECONDS);
    }
    return SWIFTGI_FAILED;
}

static swiftgi_status fail_protocol(forward *f, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->x->r, SGI_LOGNO(0468)
                  "daemon of %s (%s) breaks the protocol: %s", f->x->application,
                  f->backend->group->name, what);
    f->is_broken = 1;
    return fail(f, HTTP_BAD_GATEWAY);
}

static swiftgi_status fail_link(forward *f, sgi_link_result result)
{
    request_rec *r = f->x->r;
    const sgi_group *group = f->backend->group;
    apr_status_t rv = errno;

    switch (result) {
    case SGI_LINK_FULL:
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0463)
                      "request refused: %d requests wait for daemon process group %s, and its "
                      "queue-limit is %d", group->queue_limit, group->name, group->queue_limit);
        return fail(f, HTTP_SERVICE_UNAVAILABLE);
    case SGI_LINK_LATE:
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0461)
                      "no process of daemon process group %s took the connection in time",
                      group->name);
        return fail(f, HTTP_GATEWAY_TIME_OUT);
    case SGI_LINK_FORBIDDEN:
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r, SGI_LOGNO(0462)
                      "socket %s of daemon process group %s was made by another user, refused",
                      f->backend->socket, group->name);
        return fail(f, HTTP_SERVICE_UNAVAILABLE);
    default:
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r, SGI_LOGNO(0460)
                      "no connection to daemon process group %s (%s)", group->name,
                      f->backend->socket);
        return fail(f, HTTP_SERVICE_UNAVAILABLE);
    }
}

/* ---- variables ---- */

static size_t room(const forward *f)
{
    return f->capacity - f->end;
}

static int grow(forward *f, size_t count)
{
    size_t capacity = f->capacity;
    unsigned char *larger;

    if (f->end + count > VARIABLES_LIMIT) return 0;
    while (capacity < f->end + count) capacity *= 2;
    larger = apr_palloc(f->x->r->pool, capacity);
    memcpy(larger, f->out, f->end);
    f->out = larger;
    f->capacity = capacity;
    return 1;
}

/* Makes room for as many bytes. Returns 0 if that would be too many. */
static inline int reserve(forward *f, size_t count)
{
    return room(f) >= count || grow(f, count);
}

static void add_pair(forward *f, swiftgi_bytes name, swiftgi_bytes value)
{
    unsigned char *to;

    if (f->is_too_large || !reserve(f, name.count + value.count + 8)) {
        f->is_too_large = 1;
        return;
    }
    to = sgi_fastcgi_length(sgi_fastcgi_length(f->out + f->end, name.count), value.count);
    memcpy(to, name.start, name.count);
    to += name.count;
    if (value.count > 0) memcpy(to, value.start, value.count);
    f->end = (size_t)(to + value.count - f->out);
}

#define BYTES(text) ((swiftgi_bytes){ text, sizeof(text) - 1 })

static void add_variable(void *context, swiftgi_bytes name, swiftgi_bytes value)
{
    /* FastCGI's variables are for everybody, and everybody's are not SwiftGI's own. */
    if (name.count == sizeof("swiftgi.request_id") - 1
        && !memcmp(name.start, "swiftgi.request_id", name.count)) {
        name = BYTES("SWIFTGI_REQUEST_ID");
    }
    add_pair(context, name, value);
}

/* Adds a field as a line to `text`. */
static void add_field(void *context, swiftgi_bytes name, swiftgi_bytes value)
{
    forward *f = context;
    size_t count = f->text_count + name.count + value.count + 4;
    char *to;

    if (count > TRAILERS_LIMIT) {
        f->is_too_large = 1;
        return;
    }
    if (count > f->text_capacity) {
        size_t capacity = count < 512 ? 1024 : 2 * count;
        char *larger = apr_palloc(f->x->r->pool, capacity);

        if (f->text_count > 0) memcpy(larger, f->text, f->text_count);
        f->text = larger;
        f->text_capacity = capacity;
    }
    to = f->text + f->text_count;
    memcpy(to, name.start, name.count);
    to += name.count;
    *to++ = ':';
    *to++ = ' ';
    if (value.count > 0) memcpy(to, value.start, value.count);
    to += value.count;
    *to++ = '\r';
    *to = '\n';
    f->text_count = count;
}

/* The content between `start` and the end, behind room for a header, becomes as many records as
 * it takes. Returns 0 if that would be too large. */
static int frame_variables(forward *f, size_t start)
{
    size_t count = f->end - start - SGI_FCGI_HEADER, from = start + SGI_FCGI_HEADER, more;

    if (count <= SGI_FCGI_LARGEST) {
        sgi_fastcgi_header(f->out + start, SGI_FCGI_PARAMS, f->id, count);
        return 1;
    }
    /* Every record but the first gets its header put in, from the last one on. */
    more = (count - 1) / SGI_FCGI_LARGEST;
    if (!reserve(f, more * SGI_FCGI_HEADER)) return 0;
    f->end += more * SGI_FCGI_HEADER;
    for (; more > 0; more--) {
        size_t part = count - more * SGI_FCGI_LARGEST;
        unsigned char *header = f->out + start + more * (SGI_FCGI_HEADER + SGI_FCGI_LARGEST);

        memmove(header + SGI_FCGI_HEADER, f->out + from + more * SGI_FCGI_LARGEST, part);
        sgi_fastcgi_header(header, SGI_FCGI_PARAMS, f->id, part);
        count -= part;
    }
    sgi_fastcgi_header(f->out + start, SGI_FCGI_PARAMS, f->id, count);
    return 1;
}

/* Appends the end of a stream, for which there is room. */
static void add_end(forward *f, int type)
{
    sgi_fastcgi_header(f->out + f->end, type, f->id, 0);
    f->end += SGI_FCGI_HEADER;
}

/* Writes the begin of the request with all its variables. */
static swiftgi_status encode(forward *f)
{
    static const size_t start = SGI_FCGI_HEADER + SGI_FCGI_BODY;
    int is_complete;

    sgi_fastcgi_begin(f->out, f->id);
    f->end = start + SGI_FCGI_HEADER;
    is_complete = sgi_environ_visit(f->x, add_variable, f);
    add_pair(f, BYTES("SWIFTGI_EXTENSIONS"), BYTES("1"));
    if (!is_complete) sgi_environ_hidden_fields(f->x, add_field, f);
    if (f->text_count > 0) {
        add_pair(f, BYTES("SWIFTGI_FIELDS"), (swiftgi_bytes){ f->text, f->text_count });
        f->text_count = 0;
    }
    if (f->is_too_large || !frame_variables(f, start) || !reserve(f, 2 * SGI_FCGI_HEADER)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->x->r, SGI_LOGNO(0474)
                      "request refused: its variables take more than %d bytes", VARIABLES_LIMIT);
        return fail(f, HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    add_end(f, SGI_FCGI_PARAMS);
    return SWIFTGI_OK;
}

/* ---- the body of the request ---- */

/* Notes that the body ended before its end. */
static swiftgi_status fail_input(forward *f, swiftgi_status status)
{
    f->input = INPUT_ENDED;
    f->waits_for_input = 0;
    if (status == SWIFTGI_CLIENT_GONE) return status;
    f->input_status = status;
    if (!f->knows_extensions) return status;
    sgi_fastcgi_header(f->out + f->end, SGI_FCGI_INPUT_FAILED, f->id, 1);
    f->out[f->end + SGI_FCGI_HEADER] = (unsigned char)status;
    f->end += SGI_FCGI_HEADER + 1;
    return SWIFTGI_OK;
}

/* The body has ended, and what is behind it is known. */
static void end_input(forward *f)
{
    f->input = INPUT_ENDED;
    f->waits_for_input = 0;
    f->text_count = 0;
    sgi_environ_trailers(f->x, add_field, f);
    if (f->text_count > 0 && f->text_count <= SGI_FCGI_LARGEST && f->knows_extensions
        && reserve(f, f->text_count + 2 * SGI_FCGI_HEADER)) {
        sgi_fastcgi_header(f->out + f->end, SGI_FCGI_TRAILERS, f->id, f->text_count);
        memcpy(f->out + f->end + SGI_FCGI_HEADER, f->text, f->text_count);
        f->end += SGI_FCGI_HEADER + f->text_count;
    }
    f->text_count = 0;
    add_end(f, SGI_FCGI_STDIN);
}

/* Takes what has come of the body, as long as `out` has no more than `limit`. */
static swiftgi_status take_input(forward *f, size_t limit)
{
    /* For the header of a piece, and for an end of either kind. */
    static const size_t margin = 3 * SGI_FCGI_HEADER;
    swiftgi_status status;
    size_t count;

    f->waits_for_input = 0;
    while (f->input == INPUT_FLOWING && limit > f->end + margin) {
        size_t most = limit - f->end - margin;

        if (most > SGI_FCGI_LARGEST) most = SGI_FCGI_LARGEST;
        status = sgi_input_try_read(f->x, f->out + f->end + SGI_FCGI_HEADER, most, &count);
        if (status == SWIFTGI_AGAIN) {
            f->waits_for_input = 1;
            break;
        }
        if (status != SWIFTGI_OK) return fail_input(f, status);
        if (count > 0) {
            sgi_fastcgi_header(f->out + f->end, SGI_FCGI_STDIN, f->id, count);
            f->end += SGI_FCGI_HEADER + count;
        }
        if (count == 0 || f->x->input_ended) end_input(f);
    }
    return SWIFTGI_OK;
}

/* ---- sending ---- */

static int has_unsent(const forward *f)
{
    return f->start < f->end;
}

/* The daemon takes nothing more. It may have answered. */
static void note_deaf(forward *f)
{
    f->is_deaf = 1;
    f->start = f->end;
    f->input_before = f->input;
    f->input = INPUT_ENDED;
    f->waits_to_send = f->waits_for_input = 0;
}

/* Makes room for more of the body: behind what was sent as long as there is some, so that a
 * request that is refused can be sent anew; else in its place. */
static void make_room(forward *f)
{
    if (f->is_replayable && f->capacity - f->end >= SMALLEST_PIECE) return;
    f->start = f->end = 0;
    f->is_replayable = 0;
}

/* Whether a daemon has read the begin of the request, which takes one that has nothing else to
 * do less time than this waits. */
static int is_taken(forward *f)
{
    int i;

    if (f->is_answered || sgi_link_is_taken(f->link)) return 1;
    for (i = 0; f->look == 0 && i < PICKUP_LOOKS; i++) {
        if (sgi_link_poll(f->link, SHORT_WAIT_MICROSECONDS / PICKUP_LOOKS)
            || sgi_link_is_taken(f->link)) {
            return 1;
        }
    }
    f->look = f->look ? 2 * f->look : FIRST_LOOK_MICROSECONDS;
    if (f->look > LAST_LOOK_MICROSECONDS) f->look = LAST_LOOK_MICROSECONDS;
    return 0;
}

/* Sends what there is, and of the body what has come, until there is no room or nothing left. */
static swiftgi_status send_on(forward *f)
{
    f->waits_to_send = f->waits_to_be_taken = 0;
    while (!f->is_deaf && !f->has_ended) {
        ssize_t sent;

        if (!has_unsent(f)) {
            swiftgi_status status;

            if (f->input != INPUT_FLOWING) break;
            if (f->is_replayable && !is_taken(f)) {
                f->waits_to_be_taken = 1;
                break;
            }
            make_room(f);
            status = take_input(f, f->capacity);
            if (status != SWIFTGI_OK) return status;
            if (!has_unsent(f)) break;
        }
        sent = sgi_link_send(f->link, f->out + f->start, f->end - f->start);
        if (sent < 0) {
            if (errno == EAGAIN) {
                f->waits_to_send = 1;
                break;
            }
            if (errno == ECONNRESET) f->was_reset = 1;
            note_deaf(f);
            break;
        }
        f->start += (size_t)sent;
        f->messages += ((size_t)sent + MESSAGE_SIZE - 1) / MESSAGE_SIZE;
        f->has_sent_more = f->has_progressed = 1;
    }
    return SWIFTGI_OK;
}

/* Has the daemon know that nobody wants the response, and ends the connection with it. */
static void abort_request(forward *f)
{
    unsigned char record[SGI_FCGI_HEADER];

    if (!f->has_ended && !f->is_deaf && !has_unsent(f) && !f->is_broken) {
        sgi_fastcgi_header(record, SGI_FCGI_ABORT_REQUEST, f->id, 0);
        sgi_link_send(f->link, record, sizeof(record));
    }
}

/* ---- the log ---- */

static const struct level {
    const char *name;
    swiftgi_level level;
} levels[] = { { "trace", SWIFTGI_LOG_TRACE },      { "debug", SWIFTGI_LOG_DEBUG },
               { "info", SWIFTGI_LOG_INFO },        { "notice", SWIFTGI_LOG_NOTICE },
               { "warning", SWIFTGI_LOG_WARNING },  { "error", SWIFTGI_LOG_ERROR },
               { "critical", SWIFTGI_LOG_CRITICAL } };

/* What stands between brackets at the begin of a text, which is moved behind it and a space. */
static int take_bracketed(swiftgi_bytes *text, swiftgi_bytes *word)
{
    const char *start = text->start, *close;

    if (text->count < 2 || *start != '[') return 0;
    close = memchr(start, ']', text->count);
    if (!close) return 0;
    word->start = start + 1;
    word->count = (size_t)(close - start - 1);
    close++;
    if (close < start + text->count && *close == ' ') close++;
    text->count -= (size_t)(close - start);
    text->start = close;
    return 1;
}

static int is_text(swiftgi_bytes word, const char *text)
{
    return word.count == strlen(text) && !memcmp(word.start, text, word.count);
}

static void log_line(forward *f, const char *line, size_t count)
{
    swiftgi_bytes text = { line, count }, rest = text, word;
    swiftgi_level level = SWIFTGI_LOG_ERROR;
    apr_size_t i;

    if (take_bracketed(&rest, &word)) {
        for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
            if (is_text(word, levels[i].name)) {
                level = levels[i].level;
                text = rest;
                /* httpd writes the id by itself. */
                if (take_bracketed(&rest, &word)
                    && is_text(word, sgi_log_request_id(f->x->r))) {
                    text = rest;
                }
                break;
            }
        }
    }
    if (text.count > 0) sgi_log_message(NULL, f->x, level, text);
}

static void log_rest(forward *f)
{
    size_t count = f->line_count;

    f->line_count = 0;
    if (count > 0) log_line(f, f->line, count);
}

/* Text for the log, in pieces that need not end with a line. */
static void take_error(forward *f, const char *text, size_t count)
{
    while (count > 0) {
        const char *end = memchr(text, '\n', count);
        size_t part = end ? (size_t)(end - text) : count;

        if (f->line_count == 0 && end) {
            log_line(f, text, part);
        }
        else {
            size_t space = LINE_SIZE - f->line_count;

            if (!f->line) f->line = apr_palloc(f->x->r->pool, LINE_SIZE);
            if (part > space) {
                part = space;
                end = NULL;
            }
            memcpy(f->line + f->line_count, text, part);
            f->line_count += part;
            if (end || f->line_count == LINE_SIZE) log_rest(f);
        }
        part += end != NULL;
        text += part;
        count -= part;
    }
}

/* ---- the response ---- */

/* Keeps a part of a text that is not complete. Returns 0 if that would be too much. */
static int keep_text(forward *f, const char *part, size_t count, size_t limit)
{
    size_t total = f->text_count + count;

    if (total > limit) return 0;
    if (total > f->text_capacity) {
        size_t capacity = total < 2048 ? 4096 : 2 * total;
        char *larger = apr_palloc(f->x->r->pool, capacity);

        if (f->text_count > 0) memcpy(larger, f->text, f->text_count);
        f->text = larger;
        f->text_capacity = capacity;
    }
    if (count > 0) memcpy(f->text + f->text_count, part, count);
    f->text_count = total;
    return 1;
}

/* Passes on what there is of the body. */
static swiftgi_status pass_piece(forward *f, uint32_t flags)
{
    swiftgi_bytes piece = f->piece;
    swiftgi_status status;

    f->piece.count = 0;
    f->has_unflushed = !(flags & (SWIFTGI_FLUSH | SWIFTGI_LAST));
    status = sgi_output_write(f->x, piece, flags | SWIFTGI_NONBLOCKING);
    if (status != SWIFTGI_AGAIN) return status;
    f->is_blocked = 1;
    return SWIFTGI_OK;
}

static swiftgi_status fail_head(forward *f, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->x->r, SGI_LOGNO(0469)
                  "application %s: the head of the response has %s", f->x->application, what);
    return fail(f, HTTP_BAD_GATEWAY);
}

/* Takes a complete head. */
static swiftgi_status take_head(forward *f, const char *text, size_t count)
{
    const char *position = text, *end = text + count;
    swiftgi_bytes name, value;
    swiftgi_status status;
    sgi_head head;

    if (!sgi_head_read(&head, text, count)) return fail_head(f, head.what);
    status = sgi_output_start(f->x, head.status, head.reason, head.length);
    while (status == SWIFTGI_OK && sgi_head_field(&position, end, &name, &value) > 0) {
        if (!sgi_head_is_status(name)) status = sgi_output_field(f->x, name, value);
    }
    if (status != SWIFTGI_OK) return status;
    if (f->x->interim) return sgi_output_inform(f->x);
    f->has_head = 1;
    f->has_unflushed = 1;
    return SWIFTGI_OK;
}

static swiftgi_status take_output(forward *f, const char *piece, size_t count)
{
    swiftgi_status status;

    while (!f->has_head) {
        int has_ended;
        size_t part = sgi_head_scan(&f->scan, piece, count, &has_ended);

        /* A head that is there as a whole is read where it is. */
        if ((!has_ended || f->text_count > 0) && !keep_text(f, piece, part, HEAD_LIMIT))
            return fail_head(f, "no end within " APR_STRINGIFY(HEAD_LIMIT) " bytes");
        if (!has_ended) return SWIFTGI_OK;
        status = f->text_count > 0 ? take_head(f, f->text, f->text_count)
                                   : take_head(f, piece, part);
        f->text_count = 0;
        if (status != SWIFTGI_OK) return status;
        piece += part;
        count -= part;
    }
    if (count == 0) return SWIFTGI_OK;
    if (f->piece.count > 0 && (status = pass_piece(f, 0)) != SWIFTGI_OK) return status;
    f->piece.start = piece;
    f->piece.count = count;
    return SWIFTGI_OK;
}

/* The fields behind the body are complete. */
static swiftgi_status take_trailers(forward *f)
{
    const char *position = f->text, *end = position + f->text_count;
    swiftgi_status status = SWIFTGI_OK;
    swiftgi_bytes name, value;
    int found = 0;

    while (status == SWIFTGI_OK
           && (found = sgi_head_field(&position, end, &name, &value)) > 0) {
        status = sgi_output_trailer(f->x, name, value);
    }
    f->text_count = 0;
    return found < 0 ? fail_protocol(f, "trailers that are no fields") : status;
}

/* Whether a descriptor is what it was sent as: reading a part of it never waits. */
static int has_part(int fd, uint64_t offset, uint64_t length)
{
    struct stat info;

    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && length > 0
           && offset <= (uint64_t)info.st_size && length <= (uint64_t)info.st_size - offset;
}

static swiftgi_status take_file(forward *f, const sgi_fastcgi_event *event)
{
    int fd = sgi_link_take_descriptor(f->link);
    swiftgi_status status = SWIFTGI_OK;

    if (fd < 0) return fail_protocol(f, "a file without a descriptor");
    if (!f->has_head || !has_part(fd, event->offset, event->length)) {
        close(fd);
        return fail_protocol(f, f->has_head ? "a file that has no such part"
                                            : "a file before the head of the response");
    }
    if (f->piece.count > 0) status = pass_piece(f, 0);
    if (status != SWIFTGI_OK) {
        close(fd);
        return status;
    }
    status = sgi_output_send_file(f->x, fd, (int64_t)event->offset, (int64_t)event->length,
                                  SWIFTGI_OWNED | SWIFTGI_NONBLOCKING);
    if (status != SWIFTGI_AGAIN) return status;
    f->is_blocked = 1;
    return SWIFTGI_OK;
}

static swiftgi_status retry(forward *f);

/* Whether all that was sent is still there to be sent again. */
static int can_retry(const forward *f)
{
    return f->is_replayable && f->attempts < ATTEMPTS;
}

static swiftgi_status refuse(forward *f, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->x->r, SGI_LOGNO(0470)
                  "request refused by the processes of daemon process group %s: %s",
                  f->backend->group->name, why);
    return fail(f, HTTP_SERVICE_UNAVAILABLE);
}

static swiftgi_status take_refusal(forward *f, int protocol_status)
{
    if (f->x->sent || f->has_head || f->text_count > 0)
        return fail_protocol(f, "a refusal behind the begin of the response");
    if (protocol_status == SGI_FCGI_UNKNOWN_ROLE)
        return fail_protocol(f, "the role of a responder is not known");
    /* One without a thread for it gives back what came on a connection that was kept. A new one
     * is for whoever has a thread. */
    if (protocol_status == SGI_FCGI_OVERLOADED && sgi_link_is_used(f->link)) f->attempts--;
    if (can_retry(f)) return retry(f);
    return refuse(f, protocol_status == SGI_FCGI_OVERLOADED ? "overloaded" : "no room");
}

/* An end that is none of success, as the application's outcome. */
static swiftgi_status outcome_of(forward *f, uint32_t application_status)
{
    switch (application_status) {
    case SWIFTGI_TOO_LARGE:
    case SWIFTGI_BAD_REQUEST:
    case SWIFTGI_TIMED_OUT:
    case SWIFTGI_EXPIRED:
    case SWIFTGI_STOPPED: return (swiftgi_status)application_status;
    case SWIFTGI_CLIENT_GONE:
        if (f->x->r->connection->aborted) return SWIFTGI_CLIENT_GONE;
        return SWIFTGI_FAILED;
    default:
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, f->x->r, SGI_LOGNO(0471)
                      "application %s ended the request with status %u", f->x->application,
                      application_status);
        return SWIFTGI_FAILED;
    }
}

static void drop_link(forward *f)
{
    sgi_link_close(f->link);
    f->link = NULL;
}

/* Takes only what belongs into the log, and the end. Returns whether more can come. */
static int take_last_words(forward *f, const unsigned char *bytes, size_t count)
{
    const unsigned char *position = bytes, *end = bytes + count;
    sgi_fastcgi_event event;
    int fd;

    for (;;) {
        switch (sgi_fastcgi_next(&f->decoder, &position, end, &event)) {
        case SGI_FASTCGI_MORE: return 1;
        case SGI_FASTCGI_ERR: take_error(f, (const char *)event.start, event.count); break;
        case SGI_FASTCGI_FILE:
            fd = sgi_link_take_descriptor(f->link);
            if (fd >= 0) close(fd);
            break;
        case SGI_FASTCGI_END:
            f->has_ended = 1;
            f->is_clean = position == end;
            f->end_status = event.application_status;
            return 0;
        case SGI_FASTCGI_BROKEN: f->is_broken = 1; return 0;
        default: break;
        }
    }
}

/* Nobody wants the response any more: has the daemon know why, and gives the application a
 * moment to take note and to say in the log what it has to. */
static void cancel_request(forward *f, swiftgi_status status)
{
    apr_time_t end = apr_time_now() + CANCEL_MICROSECONDS, left;
    unsigned char record[SGI_FCGI_HEADER + 1];
    size_t count = SGI_FCGI_HEADER;
    buffer *in;

    if (f->was_cancelled || f->has_ended || f->is_broken || f->is_deaf || has_unsent(f)
        || !f->knows_extensions || (!f->is_answered && !sgi_link_is_taken(f->link))) {
        return;
    }
    f->was_cancelled = 1;
    if (status == SWIFTGI_CLIENT_GONE) {
        sgi_fastcgi_header(record, SGI_FCGI_ABORT_REQUEST, f->id, 0);
    }
    else {
        sgi_fastcgi_header(record, SGI_FCGI_CANCELLED, f->id, 1);
        record[count++] = (unsigned char)status;
    }
    if (sgi_link_send(f->link, record, count) != (ssize_t)count || !(in = take_buffer())) {
        f->is_broken = 1;
        return;
    }
    while ((left = end - apr_time_now()) > 0 && sgi_link_poll(f->link, (int)left)) {
        ssize_t received = sgi_link_receive(f->link, in->bytes, BUFFER_SIZE, 0);

        if (received < 0 && errno == EAGAIN) continue;
        if (received <= 0 || !take_last_words(f, in->bytes, (size_t)received)) break;
    }
    log_rest(f);
    give_buffer(in);
}

/* Keeps the connection for the next request if it can carry one, or else ends it, and with it
 * what the daemon may still do. */
static void leave_link(forward *f)
{
    int stray = sgi_link_take_descriptor(f->link);

    if (stray >= 0) close(stray);
    if (f->has_ended && f->is_clean && !f->is_broken && !f->is_deaf && !has_unsent(f)
        && f->input == INPUT_ENDED && stray < 0) {
        sgi_link_keep(f->link);
        f->link = NULL;
        return;
    }
    abort_request(f);
    drop_link(f);
}

/* FCGI_END_REQUEST has come; `is_last`: and nothing behind it. */
static swiftgi_status take_end(forward *f, const sgi_fastcgi_event *event, int is_last)
{
    f->has_ended = 1;
    f->is_clean = is_last;
    log_rest(f);
    if (event->protocol_status != SGI_FCGI_COMPLETE)
        return take_refusal(f, event->protocol_status);
    if (event->application_status != SWIFTGI_OK) {
        /* What was said before it belongs to what the client sees of it. */
        swiftgi_status status = f->has_head && (f->piece.count > 0 || f->has_unflushed)
                                    ? pass_piece(f, SWIFTGI_FLUSH)
                                    : SWIFTGI_OK;

        return status == SWIFTGI_CLIENT_GONE ? status
                                             : outcome_of(f, event->application_status);
    }
    if (!f->has_head)
        return fail_protocol(f, "the request ends before the head of its response");
    /* The next request of the same client finds it there. */
    leave_link(f);
    return pass_piece(f, SWIFTGI_LAST);
}

/* Takes what was received apart; SWIFTGI_OK with `has_ended`: the response is complete. */
static swiftgi_status take(forward *f, const unsigned char *bytes, size_t count)
{
    const unsigned char *position = bytes, *end = bytes + count;
    swiftgi_status status = SWIFTGI_OK;
    sgi_fastcgi_event event;

    f->piece.count = 0;
    while (status == SWIFTGI_OK) {
        switch (sgi_fastcgi_next(&f->decoder, &position, end, &event)) {
        case SGI_FASTCGI_MORE:
            /* More is on its way if the buffer was full; else the client is to see what the
             * application had it see so far. */
            if (f->piece.count > 0 || (f->has_unflushed && !f->is_bulk))
                status = pass_piece(f, f->is_bulk ? 0 : SWIFTGI_FLUSH);
            return status == SWIFTGI_OK ? NOT_YET : status;
        case SGI_FASTCGI_OUT:
            status = take_output(f, (const char *)event.start, event.count);
            break;
        case SGI_FASTCGI_ERR: take_error(f, (const char *)event.start, event.count); break;
        case SGI_FASTCGI_TRAILERS:
            if (!f->has_head
                || !keep_text(f, (const char *)event.start, event.count, TRAILERS_LIMIT))
                status = fail_protocol(f, "trailers that are too large or too early");
            break;
        case SGI_FASTCGI_TRAILERS_END: status = take_trailers(f); break;
        case SGI_FASTCGI_FILE: status = take_file(f, &event); break;
        case SGI_FASTCGI_WANTED:
            if (f->input == INPUT_HELD) f->input = INPUT_FLOWING;
            break;
        case SGI_FASTCGI_UNKNOWN:
            f->knows_extensions = 0;
            if (f->input_status != SWIFTGI_OK) status = f->input_status;
            break;
        case SGI_FASTCGI_END: return take_end(f, &event, position == end);
        case SGI_FASTCGI_BROKEN: return fail_protocol(f, event.what);
        default: break;
        }
    }
    /* For the decoder to know where it is when it goes on. */
    if (status == SWIFTGI_CLIENT_GONE) take_last_words(f, position, (size_t)(end - position));
    return status;
}

/* The daemon has closed the connection. */
static swiftgi_status take_loss(forward *f)
{
    /* What a daemon did not read it has not begun: nothing was sent, or what was sent is one
     * message that it left unread. */
    int was_not_begun =
        !f->is_answered && (f->messages == 0 || (f->was_reset && f->messages == 1));

    log_rest(f);
    f->is_broken = 1;
    if (was_not_begun) return can_retry(f) ? retry(f) : refuse(f, "none takes it up");
    /* Why a process has died its supervisor says, at error level. */
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, f->x->r, SGI_LOGNO(0467)
                  "application %s: a process of daemon process group %s closed the connection %s",
                  f->x->application, f->backend->group->name,
                  f->has_head ? "before the end of the response"
                              : "before the head of the response");
    return fail(f, HTTP_BAD_GATEWAY);
}

/* ---- waiting ---- */

/* Whether a thread may wait for a while: as many may as leave enough for other requests. */
static int begin_to_linger(void)
{
    if (__atomic_add_fetch(&lingerers, 1, __ATOMIC_RELAXED) <= lingerers_limit) return 1;
    __atomic_sub_fetch(&lingerers, 1, __ATOMIC_RELAXED);
    return 0;
}

/* Receives; waits a little for what is to come if nothing else can be done meanwhile. */
static ssize_t receive(forward *f, buffer *in)
{
    int may_wait = !has_unsent(f) && f->input == INPUT_ENDED && !f->is_blocked
                   && (!f->is_answered || f->is_bulk);
    ssize_t count;

    if (!may_wait) return sgi_link_receive(f->link, in->bytes, BUFFER_SIZE, 0);
    if (begin_to_linger()) {
        count = sgi_link_receive(f->link, in->bytes, BUFFER_SIZE, 1);
        __atomic_sub_fetch(&lingerers, 1, __ATOMIC_RELAXED);
        return count;
    }
    if (!sgi_link_poll(f->link, SHORT_WAIT_MICROSECONDS)) {
        errno = EAGAIN;
        return -1;
    }
    return sgi_link_receive(f->link, in->bytes, BUFFER_SIZE, 0);
}

/* Receives and passes on until there is nothing more, or the client does not keep up. */
static swiftgi_status receive_on(forward *f)
{
    buffer *in = take_buffer();
    swiftgi_status status = NOT_YET;
    sgi_link *link = f->link;

    if (!in) return SWIFTGI_SERVER_ERROR;
    while (status == NOT_YET && !f->is_blocked && f->link == link) {
        ssize_t count = receive(f, in);

        if (count > 0) {
            if (!f->is_answered) sgi_link_note_answer(f->link);
            f->is_answered = f->has_progressed = 1;
            f->is_bulk = count == BUFFER_SIZE;
            status = take(f, in->bytes, (size_t)count);
            /* There may be something to send in between. */
            if (f->input == INPUT_FLOWING || has_unsent(f)) break;
        }
        else if (count < 0 && errno == EAGAIN) {
            f->is_bulk = 0;
            if (f->has_unflushed) status = pass_piece(f, SWIFTGI_FLUSH);
            if (status == SWIFTGI_OK) status = NOT_YET;
            break;
        }
        else if (count < 0 && errno == EBADMSG) {
            status = fail_protocol(f, "a descriptor that was not announced");
        }
        else {
            if (count < 0 && errno == ECONNRESET) f->was_reset = 1;
            status = take_loss(f);
        }
    }
    give_buffer(in);
    return status;
}

static apr_time_t earlier(apr_time_t a, apr_time_t b)
{
    return !a || (b && b < a) ? b : a;
}

static apr_time_t after(apr_time_t since, apr_interval_time_t limit)
{
    return limit > 0 ? since + limit : 0;
}

/* Brings the times up to date. */
static void note_times(forward *f, apr_time_t now)
{
    if (!f->began) f->began = f->progressed = f->sent = now;
    if (f->has_progressed) f->progressed = now;
    if (f->has_sent_more) f->sent = now;
    f->has_progressed = f->has_sent_more = 0;
    if (!f->taken && sgi_link_is_taken(f->link)) f->taken = now;
}

/* The limits that hold at the moment; 0 each if there is none. */
typedef struct limits {
    apr_time_t queue, head, io, invitation;
    apr_time_t look; /* none: when to see whether a daemon has the request */
} limits;

static limits limits_of(const forward *f)
{
    const sgi_group *group = f->backend->group;
    limits l = { 0 };

    if (f->input == INPUT_HELD) {
        l.invitation = f->began + apr_time_from_sec(INVITATION_SECONDS);
    }
    /* Once it has been asked, the application need not be the one that is waited for. */
    if ((f->waits_for_input && !f->waits_to_be_taken) || f->is_blocked) return l;
    if (!f->taken) {
        l.queue = after(f->began, group->queue_timeout);
        if (f->waits_to_be_taken) {
            l.look = apr_time_now() + f->look;
            return l;
        }
        if (group->request_timeout > 0 || f->waits_to_send)
            l.look = apr_time_now() + apr_time_from_sec(1);
        return l;
    }
    if (!f->has_head) {
        l.head = after(f->sent > f->taken ? f->sent : f->taken, group->request_timeout);
    }
    if (f->has_head || f->waits_to_send) l.io = after(f->progressed, group->io_timeout);
    return l;
}

static int is_over(apr_time_t limit, apr_time_t now)
{
    return limit && now >= limit;
}

/* Looks at the clock. */
static swiftgi_status check_times(forward *f, apr_time_t now)
{
    request_rec *r = f->x->r;
    const char *group = f->backend->group->name;
    limits l;

    note_times(f, now);
    l = limits_of(f);
    if (is_over(l.invitation, now)) f->input = INPUT_FLOWING;
    if (is_over(l.queue, now)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0464)
                      "no process of daemon process group %s took the request up within its "
                      "queue-timeout", group);
        return fail(f, HTTP_GATEWAY_TIME_OUT);
    }
    if (is_over(l.head, now)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0465)
                      "application %s did not answer within the request-timeout of daemon "
                      "process group %s, request cancelled", f->x->application, group);
        cancel_request(f, SWIFTGI_EXPIRED);
        return fail(f, HTTP_GATEWAY_TIME_OUT);
    }
    if (is_over(l.io, now)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0466)
                      "application %s neither sent nor took anything within the io-timeout of "
                      "daemon process group %s, request cancelled", f->x->application, group);
        cancel_request(f, SWIFTGI_EXPIRED);
        return fail(f, HTTP_GATEWAY_TIME_OUT);
    }
    return SWIFTGI_OK;
}

static apr_time_t next_alarm(const forward *f)
{
    limits l = limits_of(f);

    return earlier(earlier(earlier(l.queue, l.head), earlier(l.io, l.invitation)), l.look);
}

/* Passes on that the server wants to end. */
static void tell_of_stop(forward *f)
{
    unsigned char record[SGI_FCGI_HEADER];

    if (f->is_deaf || has_unsent(f) || !f->knows_extensions) return;
    sgi_fastcgi_header(record, SGI_FCGI_STOPPING, f->id, 0);
    /* What is so short goes as a whole or not at all. */
    sgi_link_send(f->link, record, sizeof(record));
}

/* What has come while the request waited. */
static swiftgi_status take_events(forward *f, uint32_t events)
{
    request_rec *r = f->x->r;

    if (events & (SWIFTGI_GONE | SWIFTGI_ABANDONED)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, SGI_LOGNO(0477)
                      "client closed the connection, request cancelled");
        r->connection->aborted = 1;
        cancel_request(f, SWIFTGI_CLIENT_GONE);
        return SWIFTGI_CLIENT_GONE;
    }
    if (events & SWIFTGI_DEADLINE) {
        cancel_request(f, SWIFTGI_EXPIRED);
        /* A handler that knows has said so itself. */
        if (!f->has_ended || f->end_status != SWIFTGI_EXPIRED) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0475)
                          "application %s was not done within SwiftGIRequestTimeout, request "
                          "cancelled", f->x->application);
        }
        return SWIFTGI_EXPIRED;
    }
    if (events & SWIFTGI_SHUTDOWN) {
        cancel_request(f, SWIFTGI_STOPPED);
        if (!f->has_ended || f->end_status != SWIFTGI_STOPPED) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, SGI_LOGNO(0478)
                          "server ends, request cancelled");
        }
        return SWIFTGI_STOPPED;
    }
    if (events & SWIFTGI_STOPPING) tell_of_stop(f);
    if (events & SWIFTGI_STALLED) {
        if (f->is_blocked) {
            cancel_request(f, SWIFTGI_TIMED_OUT);
            return SWIFTGI_TIMED_OUT;
        }
        if (f->waits_for_input) {
            if (!has_unsent(f)) {
                f->start = f->end = 0;
                f->is_replayable = 0;
            }
            return fail_input(f, SWIFTGI_TIMED_OUT);
        }
    }
    if (events & SWIFTGI_WRITABLE) f->is_blocked = 0;
    return SWIFTGI_OK;
}

/* Has the request wait for whatever there is to do next. */
static swiftgi_status wait_for(forward *f, uint32_t *events)
{
    sgi_source source = { .fd = -1 };
    uint32_t interest = 0;

    if (f->waits_for_input) interest |= SWIFTGI_READABLE;
    if (f->is_blocked) interest |= SWIFTGI_WRITABLE;
    else source.events |= POLLIN;
    if (f->waits_to_send) source.events |= POLLOUT;
    if (source.events) source.fd = sgi_link_descriptor(f->link);
    f->x->alarm = next_alarm(f);
    return sgi_wait_source(f->x, &source, interest, events);
}

/* ---- the whole ---- */

static swiftgi_status connect_link(forward *f, int is_new)
{
    sgi_link_result result = sgi_link_open(f->backend, is_new, &f->link);

    f->attempts++;
    if (result != SGI_LINK_OPEN) {
        f->link = NULL;
        return fail_link(f, result);
    }
    f->id = sgi_link_next_id(f->link);
    memset(&f->decoder, 0, sizeof(f->decoder));
    f->decoder.id = f->id;
    return SWIFTGI_OK;
}

/* Has another connection carry the request, which no daemon has begun. */
static swiftgi_status retry(forward *f)
{
    swiftgi_status status;

    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, f->x->r, SGI_LOGNO(0472)
                  "request was not begun, another connection to daemon process group %s is used",
                  f->backend->group->name);
    drop_link(f);
    status = connect_link(f, 1);
    if (status != SWIFTGI_OK) return status;
    sgi_fastcgi_renumber(f->out, f->end, f->id);
    f->start = 0;
    /* The time in the queue is that of all attempts. */
    f->taken = f->look = 0;
    f->messages = 0;
    f->is_answered = f->has_ended = f->is_clean = f->was_reset = f->is_broken = 0;
    if (f->is_deaf) {
        f->is_deaf = 0;
        f->input = f->input_before;
    }
    return NOT_YET;
}

/* Goes on as long as there is something to do. */
static swiftgi_status go_on(forward *f)
{
    swiftgi_status status;
    uint32_t events;

    for (;;) {
        sgi_link *link = f->link;

        status = send_on(f);
        if (status == SWIFTGI_OK) status = f->is_blocked ? NOT_YET : receive_on(f);
        if (status != NOT_YET) return status;
        /* A connection that is new, or input that is wanted now, is something to do. */
        if (f->link != link
            || (f->input == INPUT_FLOWING && !f->waits_for_input && !f->waits_to_send
                && !f->waits_to_be_taken)
            || (has_unsent(f) && !f->waits_to_send)) {
            continue;
        }
        note_times(f, apr_time_now());
        status = wait_for(f, &events);
        if (status != SWIFTGI_OK) return status;
        if ((status = take_events(f, events)) != SWIFTGI_OK
            || (status = check_times(f, apr_time_now())) != SWIFTGI_OK) {
            return status;
        }
    }
}

/* The request is over: what became of it, and of its connection. */
static swiftgi_status end(forward *f, swiftgi_status status)
{
    if (status == SWIFTGI_SUSPENDED) return status;
    f->x->alarm = 0;
    log_rest(f);
    if (f->link && status == SWIFTGI_CLIENT_GONE) cancel_request(f, status);
    if (f->link) leave_link(f);
    give_buffer(f->buffer);
    f->buffer = NULL;
    return status;
}

static swiftgi_status begin(forward *f)
{
    swiftgi_status status = connect_link(f, 0);

    if (status != SWIFTGI_OK) return status;
    f->buffer = take_buffer();
    if (!f->buffer) return SWIFTGI_SERVER_ERROR;
    f->out = f->buffer->bytes;
    f->capacity = BUFFER_SIZE;
    if ((status = encode(f)) != SWIFTGI_OK) return status;
    if (f->input == INPUT_ENDED) {
        add_end(f, SGI_FCGI_STDIN);
        return SWIFTGI_OK;
    }
    return take_input(f, MESSAGE_SIZE);
}

swiftgi_status sgi_daemon_serve(swiftgi_request *x, const sgi_backend *backend)
{
    swiftgi_request *outer = sgi_log_current();
    forward *f = apr_pcalloc(x->r->pool, sizeof(*f));
    swiftgi_status status;

    f->x = x;
    f->backend = backend;
    f->is_replayable = f->knows_extensions = 1;
    f->input = ap_request_has_body(x->r) ? INPUT_FLOWING : INPUT_ENDED;
    if (f->input == INPUT_FLOWING && x->r->expecting_100) f->input = INPUT_HELD;
    x->forward = f;
    x->is_nested = outer != NULL;
    sgi_log_set_current(x);
    status = begin(f);
    if (status == SWIFTGI_OK) status = go_on(f);
    status = end(f, status);
    sgi_log_set_current(outer);
    return status;
}

swiftgi_status sgi_daemon_resume(swiftgi_request *x, uint32_t events)
{
    swiftgi_request *outer = sgi_log_current();
    forward *f = x->forward;
    swiftgi_status status;

    sgi_log_set_current(x);
    status = take_events(f, events);
    if (status == SWIFTGI_OK) status = check_times(f, apr_time_now());
    if (status == SWIFTGI_OK) status = go_on(f);
    status = end(f, status);
    sgi_log_set_current(outer);
    return status;
}
