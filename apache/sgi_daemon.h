/* sgi_daemon.h: requests that a daemon serves. */
#ifndef SGI_DAEMON_H
#define SGI_DAEMON_H

#include "sgi_exchange.h"
#include "sgi_group.h"

/* Has a daemon serve the request; as sgi_embedded_serve(). */
swiftgi_status sgi_daemon_serve(swiftgi_request *x, const sgi_backend *backend);

/* Goes on with a request that was suspended; as sgi_embedded_resume(). */
swiftgi_status sgi_daemon_resume(swiftgi_request *x, uint32_t events);

/* child_init. */
void sgi_daemon_start(apr_pool_t *pchild, server_rec *s);

#endif /* SGI_DAEMON_H */
