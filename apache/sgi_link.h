/* sgi_link.h: connections to the daemons of a group: kept for the next request, each for one at
 * a time. */
#ifndef SGI_LINK_H
#define SGI_LINK_H

#include "sgi_group.h"

#include <swiftgi.h>
#include <sys/types.h>

/* A connection that serves a request; of the thread that serves it. */
typedef struct sgi_link sgi_link;

typedef enum sgi_link_result {
    SGI_LINK_OPEN,
    SGI_LINK_FULL,     /* more requests wait than queue-limit allows */
    SGI_LINK_LATE,     /* no daemon took the connection within queue-timeout */
    SGI_LINK_REFUSED,  /* nobody listens, or the system can't; errno says more */
    SGI_LINK_FORBIDDEN /* somebody listens who is not ours */
} sgi_link_result;

/* child_init. */
void sgi_link_start(void);

/* Gets a connection to a daemon: one that was kept, unless it is to be a new one. */
sgi_link_result sgi_link_open(const sgi_backend *backend, int is_new, sgi_link **link);

/* Keeps a connection whose request has ended for the next one. */
void sgi_link_keep(sgi_link *link);

/* Ends it, and with it its request. */
void sgi_link_close(sgi_link *link);

/* Whether it has served another request before. */
int sgi_link_is_used(const sgi_link *link);

/* A number that the connection's last requests did not have. */
uint16_t sgi_link_next_id(sgi_link *link);

/* Sends what there is room for, without waiting; as send(). */
ssize_t sgi_link_send(sgi_link *link, const void *bytes, size_t count);

/* Receives what there is; as recv(). `waits`: until something has come, but for no longer than
 * a few milliseconds. EAGAIN: nothing came. EBADMSG: descriptors that nobody asked for. */
ssize_t sgi_link_receive(sgi_link *link, void *buffer, size_t capacity, int waits);

/* Waits a moment, in microseconds; 1: something has come. */
int sgi_link_poll(const sgi_link *link, int microseconds);

/* The descriptor that came with the bytes received so far; the caller's from then on. -1:
 * none. */
int sgi_link_take_descriptor(sgi_link *link);

/* A daemon has answered, and so taken the request up. */
void sgi_link_note_answer(sgi_link *link);

/* Whether a daemon is known to have taken up all that was sent. Asks the system, unless it is
 * known. */
int sgi_link_is_taken(sgi_link *link);

/* Its own descriptor, for poll(). */
int sgi_link_descriptor(const sgi_link *link);

#endif /* SGI_LINK_H */
