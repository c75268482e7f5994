/* sgi_wait.h: requests that wait: on their thread, or put aside without one. */
#ifndef SGI_WAIT_H
#define SGI_WAIT_H

#include "sgi_exchange.h"

/* Hooks and a filter of the connection. */
void sgi_wait_register(apr_pool_t *pool);

/* child_init: `s` for messages that belong to no request. */
void sgi_wait_start(apr_pool_t *pchild, server_rec *s);

/* The functions of the table of swiftgi.h. */
swiftgi_waker *sgi_wait_waker(swiftgi_request *x);
void sgi_wait_wake(swiftgi_waker *waker);
void sgi_wait_release(swiftgi_waker *waker);
swiftgi_status sgi_wait_wait(swiftgi_request *x, void *task, uint32_t interest,
                             uint32_t *events);

/* A descriptor that a request waits for beside its client: of a connection to a daemon. */
typedef struct sgi_source {
    int fd;       /* -1: there is nothing to wait for but the client */
    short events; /* of poll() */
} sgi_source;

/* As sgi_wait_wait(), for a source: SWIFTGI_WOKEN says that it may have something. */
swiftgi_status sgi_wait_source(swiftgi_request *x, const sgi_source *source, uint32_t interest,
                               uint32_t *events);

/* Whether the thread that serves this request can go while it waits. */
int sgi_wait_can_suspend(const swiftgi_request *x);

/* Has output pass on without waiting for the client; gives what was so before. */
int sgi_wait_set_nonblocking(swiftgi_request *x, int nonblocking);

/* The handler begins with a request. */
void sgi_wait_begin(swiftgi_request *x);

/* The handler is done with a request that was not suspended. */
void sgi_wait_end(swiftgi_request *x);

#endif /* SGI_WAIT_H */
