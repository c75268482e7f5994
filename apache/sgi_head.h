/* sgi_head.h: the head of a response as CGI has it (RFC 3875, section 6), taken apart: no I/O,
 * no memory of its own, nothing of httpd. */
#ifndef SGI_HEAD_H
#define SGI_HEAD_H

#include <stddef.h>
#include <stdint.h>
#include <swiftgi.h>

/* Looks for the empty line behind the head. `*state` carries over to the next piece and begins
 * as 0. Returns how many bytes of the piece belong to the head; `*has_ended`: the last of them
 * are the empty line. */
size_t sgi_head_scan(int *state, const char *piece, size_t count, int *has_ended);

/* What the head says of the response as a whole. */
typedef struct sgi_head {
    uint16_t status;
    swiftgi_bytes reason;
    int64_t length;   /* -1: it does not say */
    const char *what; /* what is wrong with it, for people */
} sgi_head;

/* Reads a whole head, its empty line included. Returns 0 and says what, if something is wrong. */
int sgi_head_read(sgi_head *head, const char *text, size_t count);

/* The next field of a head or of trailers, from `*position` on, which moves. 1: there is one;
 * 0: they end; -1: this is none. */
int sgi_head_field(const char **position, const char *end, swiftgi_bytes *name,
                   swiftgi_bytes *value);

/* Whether a field of a head is about the gateway, not for the client. */
int sgi_head_is_status(swiftgi_bytes name);

#endif /* SGI_HEAD_H */
