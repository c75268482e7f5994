/* sgi_fastcgi.c: the records of FastCGI 1.0 as a web server sends and gets them. */
#include "sgi_fastcgi.h"

#include <string.h>

#define VERSION 1
#define RESPONDER 1
#define KEEP_CONNECTION 1

/* ---- to the application ---- */

void sgi_fastcgi_header(unsigned char *to, int type, uint16_t id, size_t count)
{
    to[0] = VERSION;
    to[1] = (unsigned char)type;
    to[2] = (unsigned char)(id >> 8);
    to[3] = (unsigned char)id;
    to[4] = (unsigned char)(count >> 8);
    to[5] = (unsigned char)count;
    to[6] = to[7] = 0;
}

void sgi_fastcgi_begin(unsigned char *to, uint16_t id)
{
    sgi_fastcgi_header(to, SGI_FCGI_BEGIN_REQUEST, id, SGI_FCGI_BODY);
    memset(to + SGI_FCGI_HEADER, 0, SGI_FCGI_BODY);
    to[SGI_FCGI_HEADER + 1] = RESPONDER;
    to[SGI_FCGI_HEADER + 2] = KEEP_CONNECTION;
}

static size_t content_of(const unsigned char *header)
{
    return (size_t)header[4] << 8 | header[5];
}

void sgi_fastcgi_renumber(unsigned char *records, size_t count, uint16_t id)
{
    while (count >= SGI_FCGI_HEADER) {
        size_t size = SGI_FCGI_HEADER + content_of(records) + records[6];

        records[2] = (unsigned char)(id >> 8);
        records[3] = (unsigned char)id;
        if (size > count) break;
        records += size;
        count -= size;
    }
}

/* ---- from the application ---- */

/* What the bytes that come next are. */
enum { HEADER, STREAM, WHOLE, SKIPPED, PADDING };

static sgi_fastcgi_kind broken(sgi_fastcgi_event *event, const char *what)
{
    event->what = what;
    return SGI_FASTCGI_BROKEN;
}

static uint32_t number_of(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8
           | bytes[3];
}

/* Decides by the header how the content is read. */
static sgi_fastcgi_kind take_header(sgi_fastcgi_decoder *d, sgi_fastcgi_event *event)
{
    const unsigned char *header = d->bytes;
    unsigned id = (unsigned)header[2] << 8 | header[3];

    d->type = header[1];
    d->remaining = (uint16_t)content_of(header);
    d->padding = header[6];
    d->collected = 0;
    if (header[0] != VERSION) return broken(event, "a record of another version");
    if (d->type == SGI_FCGI_GET_VALUES_RESULT || d->type == SGI_FCGI_UNKNOWN_TYPE) {
        if (id != 0) return broken(event, "a management record for a request");
        if (d->type == SGI_FCGI_UNKNOWN_TYPE && d->remaining != SGI_FCGI_BODY)
            return broken(event, "FCGI_UNKNOWN_TYPE of a wrong size");
        d->state = d->type == SGI_FCGI_UNKNOWN_TYPE ? WHOLE : SKIPPED;
        return SGI_FASTCGI_MORE;
    }
    if (id != d->id) return broken(event, "a record for another request");
    switch (d->type) {
    case SGI_FCGI_STDOUT:
        if (d->has_ended_out && d->remaining > 0)
            return broken(event, "FCGI_STDOUT behind its end");
        d->state = STREAM;
        if (d->remaining > 0) return SGI_FASTCGI_MORE;
        d->has_ended_out = 1;
        return SGI_FASTCGI_OUT_END;
    case SGI_FCGI_STDERR: d->state = STREAM; return SGI_FASTCGI_MORE;
    case SGI_FCGI_TRAILERS: d->state = STREAM; return SGI_FASTCGI_MORE;
    case SGI_FCGI_END_REQUEST:
        if (d->remaining != SGI_FCGI_BODY)
            return broken(event, "FCGI_END_REQUEST of a wrong size");
        break;
    case SGI_FCGI_FILE:
        if (d->has_ended_out) return broken(event, "a file behind the end of FCGI_STDOUT");
        if (d->remaining != 2 * SGI_FCGI_BODY) return broken(event, "a file of a wrong size");
        break;
    case SGI_FCGI_INPUT_WANTED:
        if (d->remaining != 0) return broken(event, "a wish for input with content");
        break;
    default: return broken(event, "a record of a type that applications do not send");
    }
    d->state = WHOLE;
    return SGI_FASTCGI_MORE;
}

/* A record that counts as a whole is complete, its padding included. */
static sgi_fastcgi_kind take_whole(sgi_fastcgi_decoder *d, sgi_fastcgi_event *event)
{
    switch (d->type) {
    case SGI_FCGI_END_REQUEST:
        event->application_status = number_of(d->bytes);
        event->protocol_status = d->bytes[4];
        return SGI_FASTCGI_END;
    case SGI_FCGI_FILE:
        event->offset = (uint64_t)number_of(d->bytes) << 32 | number_of(d->bytes + 4);
        event->length = (uint64_t)number_of(d->bytes + 8) << 32 | number_of(d->bytes + 12);
        return SGI_FASTCGI_FILE;
    case SGI_FCGI_UNKNOWN_TYPE: event->type = d->bytes[0]; return SGI_FASTCGI_UNKNOWN;
    case SGI_FCGI_INPUT_WANTED: return SGI_FASTCGI_WANTED;
    case SGI_FCGI_TRAILERS: return SGI_FASTCGI_TRAILERS_END;
    default: return SGI_FASTCGI_MORE;
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

sgi_fastcgi_kind sgi_fastcgi_next(sgi_fastcgi_decoder *d, const unsigned char **position,
                                  const unsigned char *end, sgi_fastcgi_event *event)
{
    for (;;) {
        size_t left = (size_t)(end - *position), count;
        sgi_fastcgi_kind kind;

        switch (d->state) {
        case HEADER:
            count = smaller(left, SGI_FCGI_HEADER - d->collected);
            if (count > 0) memcpy(d->bytes + d->collected, *position, count);
            d->collected = (uint16_t)(d->collected + count);
            *position += count;
            if (d->collected < SGI_FCGI_HEADER) return SGI_FASTCGI_MORE;
            kind = take_header(d, event);
            if (kind != SGI_FASTCGI_MORE) return kind;
            break;
        case STREAM:
        case SKIPPED:
            if (d->remaining == 0) {
                d->state = PADDING;
                break;
            }
            if (left == 0) return SGI_FASTCGI_MORE;
            count = smaller(left, d->remaining);
            event->start = *position;
            event->count = count;
            *position += count;
            d->remaining = (uint16_t)(d->remaining - count);
            if (d->state == SKIPPED) break;
            if (d->type == SGI_FCGI_STDOUT) return SGI_FASTCGI_OUT;
            return d->type == SGI_FCGI_STDERR ? SGI_FASTCGI_ERR : SGI_FASTCGI_TRAILERS;
        case WHOLE:
            count = smaller(left, d->remaining);
            if (count > 0) memcpy(d->bytes + d->collected, *position, count);
            d->collected = (uint16_t)(d->collected + count);
            d->remaining = (uint16_t)(d->remaining - count);
            *position += count;
            if (d->remaining > 0) return SGI_FASTCGI_MORE;
            d->state = PADDING;
            break;
        default:
            count = smaller(left, d->padding);
            d->padding = (uint8_t)(d->padding - count);
            *position += count;
            if (d->padding > 0) return SGI_FASTCGI_MORE;
            d->state = HEADER;
            d->collected = 0;
            kind = take_whole(d, event);
            if (kind != SGI_FASTCGI_MORE) return kind;
            break;
        }
    }
}
