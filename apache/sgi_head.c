/* sgi_head.c: the head of a response as CGI has it, taken apart. */
#include "sgi_head.h"

#include <string.h>
#include <strings.h>

/* Where in the head the scan is. */
enum { START_OF_LINE, AFTER_RETURN, IN_LINE };

size_t sgi_head_scan(int *state, const char *piece, size_t count, int *has_ended)
{
    const char *c = piece, *end = piece + count;

    *has_ended = 0;
    while (c < end) {
        switch (*state) {
        case START_OF_LINE:
            if (*c == '\n') *has_ended = 1;
            *state = *c == '\r' ? AFTER_RETURN : IN_LINE;
            break;
        case AFTER_RETURN:
            if (*c == '\n') *has_ended = 1;
            *state = IN_LINE;
            break;
        default: break;
        }
        if (*has_ended) {
            *state = START_OF_LINE;
            return (size_t)(c + 1 - piece);
        }
        if (*state == IN_LINE) {
            const char *line_end = memchr(c, '\n', (size_t)(end - c));

            if (!line_end) return count;
            c = line_end;
            *state = START_OF_LINE;
        }
        c++;
    }
    return count;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

int sgi_head_field(const char **position, const char *end, swiftgi_bytes *name,
                   swiftgi_bytes *value)
{
    const char *start = *position, *stop, *colon;

    if (start >= end) return 0;
    stop = memchr(start, '\n', (size_t)(end - start));
    *position = stop ? stop + 1 : end;
    if (!stop) stop = end;
    if (stop > start && stop[-1] == '\r') stop--;
    if (stop == start) return 0;
    colon = memchr(start, ':', (size_t)(stop - start));
    /* A line that begins with a blank would go on with the one before it, which RFC 9112 takes
     * back; and a name has none behind it. */
    if (!colon || colon == start || is_blank(*start) || is_blank(colon[-1])) return -1;
    name->start = start;
    name->count = (size_t)(colon - start);
    for (start = colon + 1; start < stop && is_blank(*start); start++) continue;
    while (stop > start && is_blank(stop[-1])) stop--;
    value->start = start;
    value->count = (size_t)(stop - start);
    return 1;
}

static int is_named(swiftgi_bytes name, const char *other)
{
    return name.count == strlen(other) && !strncasecmp(name.start, other, name.count);
}

int sgi_head_is_status(swiftgi_bytes name)
{
    return is_named(name, "Status");
}

/* Three digits, and a reason behind a space. */
static int read_status(sgi_head *head, swiftgi_bytes value)
{
    const char *c = value.start;
    size_t i;

    if (value.count < 3 || (value.count > 3 && c[3] != ' ')) return 0;
    head->status = 0;
    for (i = 0; i < 3; i++) {
        if (c[i] < '0' || c[i] > '9') return 0;
        head->status = (uint16_t)(head->status * 10 + (c[i] - '0'));
    }
    head->reason.start = value.count > 4 ? c + 4 : NULL;
    head->reason.count = value.count > 4 ? value.count - 4 : 0;
    return 1;
}

static int read_length(sgi_head *head, swiftgi_bytes value)
{
    const char *c = value.start, *end = c + value.count;
    int64_t length = 0;

    if (value.count == 0) return 0;
    for (; c < end; c++) {
        if (*c < '0' || *c > '9' || length > (INT64_MAX - 9) / 10) return 0;
        length = length * 10 + (*c - '0');
    }
    if (head->length >= 0 && head->length != length) return 0;
    head->length = length;
    return 1;
}

int sgi_head_read(sgi_head *head, const char *text, size_t count)
{
    const char *position = text, *end = text + count;
    int has_status = 0, has_location = 0, has_fields = 0, found;
    swiftgi_bytes name, value;

    memset(head, 0, sizeof(*head));
    head->length = -1;
    while ((found = sgi_head_field(&position, end, &name, &value)) > 0) {
        has_fields = 1;
        if (is_named(name, "Status")) {
            if (has_status || !read_status(head, value)) {
                head->what = "a Status that is none";
                return 0;
            }
            has_status = 1;
        }
        else if (is_named(name, "Content-Length")) {
            if (!read_length(head, value)) {
                head->what = "a Content-Length that is none";
                return 0;
            }
        }
        else if (is_named(name, "Location")) {
            has_location = 1;
        }
    }
    if (found < 0 || !has_fields) {
        head->what = found < 0 ? "a line that is no field" : "no field";
        return 0;
    }
    if (!has_status) head->status = has_location ? 302 : 200;
    return 1;
}
