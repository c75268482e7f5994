/* sgi_log.c: what applications say, in the log where it belongs. */
#include "sgi_log.h"

#include <http_core.h>
#include <apr_lib.h>

/* httpd cuts a line at 8 KiB, its own words included. */
#define LINE_LIMIT 7000

/* What httpd makes of a byte that it does not print as it is: \xff. */
#define ESCAPED_LENGTH 4

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

/* How much of the text fits into one line. */
static int fitting(const char *text, apr_size_t length)
{
    int room = LINE_LIMIT, count = 0;

    for (; (apr_size_t)count < length; count++) {
        room -= apr_isprint(text[count]) && text[count] != '\\' ? 1 : ESCAPED_LENGTH;
        if (room < 0) break;
    }
    return count;
}

static void log_part(const swiftgi_request *x, server_rec *s, int level, const char *text,
                     int length)
{
    /* No file and line: they would be this file's. */
    if (x) ap_log_rerror_(NULL, 0, APLOG_MODULE_INDEX, level, 0, x->r, "%.*s", length, text);
    else ap_log_error_(NULL, 0, APLOG_MODULE_INDEX, level, 0, s, "%.*s", length, text);
}

static void log_line(const swiftgi_request *x, server_rec *s, int level, const char *line,
                     apr_size_t length)
{
    while (length > 0) {
        int part = fitting(line, length), i;

        if (!memchr(line, '\0', (apr_size_t)part)) log_part(x, s, level, line, part);
        else {
            /* httpd would leave out what follows a zero byte. */
            char copy[LINE_LIMIT];

            for (i = 0; i < part; i++) copy[i] = line[i] ? line[i] : '?';
            log_part(x, s, level, copy, part);
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

static int least_severe(int level, const struct ap_logconf *log)
{
    int own = ap_get_module_loglevel(log, APLOG_MODULE_INDEX);

    return own > level ? own : level;
}

/* Also what LogLevel says inside of <Directory>, <Location>, <Files> and <If>. */
static int least_severe_of_sections(int level, const apr_array_header_t *sections)
{
    int i;

    for (i = 0; sections && i < sections->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(sections, i, ap_conf_vector_t *);
        const core_dir_config *core = ap_get_core_module_config(section);

        if (!core) continue;
        if (core->log) level = least_severe(level, core->log);
        level = least_severe_of_sections(level, core->sec_file);
        level = least_severe_of_sections(level, core->sec_if);
    }
    return level;
}

swiftgi_level sgi_log_level(server_rec *s)
{
    int level = APLOG_EMERG;

    for (; s; s = s->next) {
        const core_server_config *core = ap_get_core_module_config(s->module_config);
        const core_dir_config *outside = ap_get_core_module_config(s->lookup_defaults);

        level = least_severe(level, &s->log);
        level = least_severe_of_sections(level, core->sec_dir);
        level = least_severe_of_sections(level, core->sec_url);
        level = least_severe_of_sections(level, outside->sec_file);
        level = least_severe_of_sections(level, outside->sec_if);
    }
    if (level < SWIFTGI_LOG_CRITICAL) return SWIFTGI_LOG_CRITICAL;
    return level > SWIFTGI_LOG_TRACE ? SWIFTGI_LOG_TRACE : (swiftgi_level)level;
}
