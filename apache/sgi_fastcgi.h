/* sgi_fastcgi.h: the records of FastCGI 1.0 as a web server sends and gets them. Bytes in,
 * bytes out: no I/O, no memory of its own, nothing of httpd. */
#ifndef SGI_FASTCGI_H
#define SGI_FASTCGI_H

#include <stddef.h>
#include <stdint.h>

/* Every record begins with a header of this size. */
#define SGI_FCGI_HEADER 8

/* The most that one record has of content. */
#define SGI_FCGI_LARGEST 65535

/* The content of FCGI_BEGIN_REQUEST and FCGI_END_REQUEST. */
#define SGI_FCGI_BODY 8

/* Types of records: FastCGI's (section 8 of its specification), and from 64 those that the
 * module and its daemons have beside them; sgi_daemon.c says what they are for. */
enum {
    SGI_FCGI_BEGIN_REQUEST = 1,
    SGI_FCGI_ABORT_REQUEST = 2,
    SGI_FCGI_END_REQUEST = 3,
    SGI_FCGI_PARAMS = 4,
    SGI_FCGI_STDIN = 5,
    SGI_FCGI_STDOUT = 6,
    SGI_FCGI_STDERR = 7,
    SGI_FCGI_GET_VALUES_RESULT = 10,
    SGI_FCGI_UNKNOWN_TYPE = 11,
    SGI_FCGI_FILE = 64,
    SGI_FCGI_TRAILERS = 65,
    SGI_FCGI_INPUT_FAILED = 66,
    SGI_FCGI_INPUT_WANTED = 67,
    SGI_FCGI_STOPPING = 68,
    SGI_FCGI_CANCELLED = 69
};

/* The protocol status in FCGI_END_REQUEST. */
enum {
    SGI_FCGI_COMPLETE = 0,
    SGI_FCGI_CANNOT_MULTIPLEX = 1,
    SGI_FCGI_OVERLOADED = 2,
    SGI_FCGI_UNKNOWN_ROLE = 3
};

/* Writes a header to `to`; `count`, the size of the content, is at most SGI_FCGI_LARGEST. */
void sgi_fastcgi_header(unsigned char *to, int type, uint16_t id, size_t count);

/* Writes a whole FCGI_BEGIN_REQUEST, of SGI_FCGI_HEADER + SGI_FCGI_BODY bytes: the role is
 * responder, and the connection is kept. */
void sgi_fastcgi_begin(unsigned char *to, uint16_t id);

/* Writes a length of a name-value pair, below 2^31, and returns where what follows goes: the
 * other length, or the name and the value. */
static inline unsigned char *sgi_fastcgi_length(unsigned char *to, size_t count)
{
    if (count < 128) {
        *to = (unsigned char)count;
        return to + 1;
    }
    to[0] = (unsigned char)(count >> 24 | 0x80);
    to[1] = (unsigned char)(count >> 16);
    to[2] = (unsigned char)(count >> 8);
    to[3] = (unsigned char)count;
    return to + 4;
}

/* Puts another request's id into whole records, one after the other. */
void sgi_fastcgi_renumber(unsigned char *records, size_t count, uint16_t id);

/* What comes out of the stream from an application. */
typedef enum sgi_fastcgi_kind {
    SGI_FASTCGI_MORE,         /* all was taken: more bytes are needed */
    SGI_FASTCGI_OUT,          /* a piece of FCGI_STDOUT */
    SGI_FASTCGI_OUT_END,      /* its end */
    SGI_FASTCGI_ERR,          /* a piece of FCGI_STDERR */
    SGI_FASTCGI_TRAILERS,     /* a piece of the fields behind the body */
    SGI_FASTCGI_TRAILERS_END, /* the end of a record of them */
    SGI_FASTCGI_FILE,         /* a part of a file in place of a piece */
    SGI_FASTCGI_WANTED,       /* the application wants the body of the request */
    SGI_FASTCGI_UNKNOWN,      /* the application does not know a type of record */
    SGI_FASTCGI_END,          /* of the request */
    SGI_FASTCGI_BROKEN        /* no FastCGI; the decoder is not to be used any more */
} sgi_fastcgi_kind;

typedef struct sgi_fastcgi_event {
    const unsigned char *start; /* of a piece, in what was given */
    size_t count;
    uint32_t application_status; /* of the end */
    uint8_t protocol_status;
    uint8_t type;    /* that is not known */
    uint64_t offset; /* of the file */
    uint64_t length;
    const char *what; /* what is broken, for people */
} sgi_fastcgi_event;

/* What it knows of the stream so far. Zero, but for the id, is the beginning of one. */
typedef struct sgi_fastcgi_decoder {
    uint16_t id; /* of the only request on the connection */
    uint8_t state;
    uint8_t type;
    uint8_t has_ended_out; /* boolean */
    uint8_t padding;
    uint16_t remaining;                     /* of the content */
    uint16_t collected;                     /* how much of what is below */
    unsigned char bytes[2 * SGI_FCGI_BODY]; /* a header, or a content that counts as a whole */
} sgi_fastcgi_decoder;

/* Takes bytes from `*position` to `end` apart, up to the next event, and moves `*position`. */
sgi_fastcgi_kind sgi_fastcgi_next(sgi_fastcgi_decoder *decoder, const unsigned char **position,
                                  const unsigned char *end, sgi_fastcgi_event *event);

#endif /* SGI_FASTCGI_H */
