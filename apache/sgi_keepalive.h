/* sgi_keepalive.h: connections between two requests. */
#ifndef SGI_KEEPALIVE_H
#define SGI_KEEPALIVE_H

#include "sgi_private.h"

/* What is known of how a client asks; of its connection. All zero at first. */
typedef struct sgi_keepalive {
    int is_ours;               /* boolean: an application has served the request before */
    apr_interval_time_t limit; /* KeepAliveTimeout of its server; of such a request */
    int skipped; /* for how many requests it was not waited after the last wait in vain */
    int left;    /* of these, how many are still to come */
} sgi_keepalive;

/* child_init. */
void sgi_keepalive_start(void);

/* A thread takes a connection up, and lets go of it. */
void sgi_keepalive_enter(void);
void sgi_keepalive_leave(void);

/* An application is about to serve a request of the connection. */
void sgi_keepalive_begin(const request_rec *r, sgi_keepalive *k);

/* Whether the next request, or the end, of the connection `c` is there, whose last request is
 * complete; `client` is its descriptor. Waits for it for a moment if the thread can be spared.
 * If so the connection can be processed again. */
int sgi_keepalive_wait(conn_rec *c, sgi_keepalive *k, int client);

#endif /* SGI_KEEPALIVE_H */
