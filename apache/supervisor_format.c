/* supervisor_format.c: lines as httpd's ErrorLogFormat has them. */
#include "supervisor.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

/* httpd's own, as far as there is something to say. */
#define DEFAULT_FORMAT "[%{u}t] [%-m:%l] [pid %P] %M"

/* A line that is being made. */
typedef struct line {
    char *text;
    size_t size, count;
} line;

static void put_char(line *to, char c)
{
    if (to->count < to->size) to->text[to->count++] = c;
}

static void put(line *to, const char *text)
{
    while (*text) put_char(to, *text++);
}

/* "Tue Nov 24 22:15:41 2026"; of the options: u and m add a part of the second, c has another
 * order, z the distance from Greenwich. */
static void put_time(line *to, const char *options, size_t count)
{
    bool is_compact = memchr(options, 'c', count) != NULL;
    char before[40], after[16], part[24] = "";
    struct timeval time;
    struct tm parts;

    gettimeofday(&time, NULL);
    localtime_r(&time.tv_sec, &parts);
    strftime(before, sizeof(before), is_compact ? "%Y-%m-%d %H:%M:%S" : "%a %b %d %H:%M:%S",
             &parts);
    strftime(after, sizeof(after), is_compact ? "" : " %Y", &parts);
    if (memchr(options, 'u', count)) snprintf(part, sizeof(part), ".%06ld", (long)time.tv_usec);
    else if (memchr(options, 'm', count))
        snprintf(part, sizeof(part), ".%03ld", (long)time.tv_usec / 1000);
    put(to, before);
    put(to, part);
    put(to, after);
    if (memchr(options, 'z', count)) {
        strftime(after, sizeof(after), " %z", &parts);
        put(to, after);
    }
}

/* What came from outside must neither end the line nor command a terminal. */
static void put_message(line *to, const char *text, size_t count)
{
    char escaped[8];
    size_t i;

    for (i = 0; i < count && to->count + 5 < to->size; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c >= 0x20 && c != 0x7F) || c == '\t') {
            put_char(to, (char)c);
            continue;
        }
        snprintf(escaped, sizeof(escaped), "\\x%02x", c);
        put(to, escaped);
    }
}

/* An item; what a line of ours has nothing to say about puts nothing. */
static void put_item(line *to, char item, const char *argument, size_t count,
                     const format_parts *parts)
{
    static const char *const levels[] = { "emerg", "alert",  "crit", "error",
                                          "warn",  "notice", "info", "debug" };
    char number[16];

    switch (item) {
    case '%': put_char(to, '%'); break;
    case 't': put_time(to, argument, count); break;
    case 'm': put(to, "swiftgi"); break;
    case 'l':
        put(to, levels[(unsigned)parts->level < 8 ? (unsigned)parts->level : LEVEL_DEBUG]);
        break;
    case 'P':
    case 'T':
        snprintf(number, sizeof(number), "%d", (int)parts->pid);
        put(to, number);
        break;
    case 'v':
    case 'V': put(to, parts->server); break;
    case 'M':
        if (parts->group) {
            put(to, "[group ");
            put(to, parts->group);
            put(to, "] ");
        }
        put_message(to, parts->text, parts->count);
        break;
    default: break;
    }
}

size_t format_line(char *text, size_t size, const char *format, const format_parts *parts)
{
    line to = { .text = text, .size = size };
    const char *c = *format ? format : DEFAULT_FORMAT;
    size_t field = 0, before;
    bool is_skipping = false;

    while (*c) {
        const char *argument = "";
        size_t count = 0;
        bool has_hyphen = false;
        int least = 0;

        /* A space, or the mark of one that is not to be seen, begins a field. One with an item
         * that puts nothing is left out, and the space before it. */
        if (*c == ' ' || (c[0] == '%' && c[1] == ' ')) {
            is_skipping = false;
            field = to.count;
            if (*c == ' ') put_char(&to, ' ');
            c += *c == ' ' ? 1 : 2;
            continue;
        }
        if (*c != '%') {
            if (*c == '\\' && c[1]) {
                c++;
                if (!is_skipping)
                    put_char(&to, *c == 'n' ? '\n' : *c == 't' ? '\t' : *c == 'r' ? '\r' : *c);
            }
            else if (!is_skipping) {
                put_char(&to, *c);
            }
            c++;
            continue;
        }
        for (c++; *c == '-' || *c == '+' || *c == '{' || isdigit((unsigned char)*c); c++) {
            if (*c == '-') has_hyphen = true;
            else if (*c == '+') continue; /* of other formats than this */
            else if (isdigit((unsigned char)*c)) least = least * 10 + (*c - '0');
            else {
                const char *end = strchr(c, '}');

                if (!end) break;
                argument = c + 1;
                count = (size_t)(end - argument);
                c = end;
            }
        }
        if (!*c) break;
        before = to.count;
        if (!is_skipping && least <= (int)parts->level)
            put_item(&to, *c, argument, count, parts);
        if (to.count == before && !is_skipping) {
            if (has_hyphen && least <= (int)parts->level) put_char(&to, '-');
            else {
                to.count = field;
                is_skipping = true;
            }
        }
        c++;
    }
    return to.count;
}
