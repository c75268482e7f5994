/* sgi_log.c: what applications say, in the log where it belongs. */
#include "sgi_log.h"

/* httpd cuts a line at 8 KiB, its own words included. */
#define LINE_LIMIT 7000

static __thread swiftgi_request *current;
static server_rec *main_server;

void sgi_log_set_server(server_rec *s)
{
    main_server = s;
}

swiftgi_request *sgi_log_current(void)
{
    return current;
}

void sgi_log_set_current(swiftgi_request *x)
{
    current = x;
}

const char *sgi_log_request_id(request_rec *r)
{
    /* mod_unique_id, if it is there, gives its own. */
    if (!r->log_id) ap_run_generate_log_id(r->connection, r, &r->log_id);
    return r->log_id;
}

static void log_line(const swiftgi_request *x, server_rec *s, int level, const char *line,
                     apr_size_t length)
{
    while (length > 0) {
        int part = length > LINE_LIMIT ? LINE_LIMIT : (int)length;

        /* No file and line: they would be this file's. */
        if (x) {
            ap_log_rerror_(NULL, 0, APLOG_MODULE_INDEX, level, 0, x->r, "%.*s", part, line);
        }
        else {
            ap_log_error_(NULL, 0, APLOG_MODULE_INDEX, level, 0, s, "%.*s", part, line);
        }
        line += part;
        length -= (apr_size_t)part;
    }
}

static void log_lines(const swiftgi_request *x, server_rec *s, int level, const char *text,
                      apr_size_t length)
{
    /* Messages above what is logged cost one comparison. */
    if (x ? !APLOG_R_IS_LEVEL(x->r, level) : !APLOG_IS_LEVEL(s, level)) return;
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        apr_size_t count = end ? (apr_size_t)(end - text) : length;

        log_line(x, s, level, text, count);
        count += end != NULL;
        text += count;
        length -= count;
    }
}

void sgi_log_text(int level, const char *text, apr_size_t length)
{
    log_lines(current, main_server, level, text, length);
}

void sgi_log_message(const swiftgi_server *server, swiftgi_request *x, swiftgi_level level,
                     swiftgi_bytes message)
{
    int apache_level = (int)level;

    if (apache_level < APLOG_CRIT) apache_level = APLOG_CRIT;
    if (apache_level > APLOG_TRACE8) apache_level = APLOG_TRACE8;
    log_lines(x ? x : current, main_server, apache_level, message.start, message.count);
}

swiftgi_level sgi_log_level(server_rec *s)
{
    int level = APLOG_EMERG;

    for (; s; s = s->next) {
        int own = ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX);

        if (own > level) level = own;
    }
    if (level < SWIFTGI_LOG_CRITICAL) return SWIFTGI_LOG_CRITICAL;
    return level > SWIFTGI_LOG_TRACE ? SWIFTGI_LOG_TRACE : (swiftgi_level)level;
}
