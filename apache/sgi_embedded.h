/* sgi_embedded.h: applications inside this process. */
#ifndef SGI_EMBEDDED_H
#define SGI_EMBEDDED_H

#include "sgi_exchange.h"

/* child_init: loads and starts every declared application. */
void sgi_embedded_start(apr_pool_t *pchild, server_rec *s);

/* The library of r->filename, loaded and started now if this is its first request
 * in this process. */
sgi_library *sgi_embedded_find(request_rec *r);

/* Whether and how the library is in this process. */
sgi_library_state sgi_embedded_state(const sgi_library *library);

/* Runs the application. */
swiftgi_status sgi_embedded_serve(swiftgi_request *x);

/* Goes on with a request that was suspended; as sgi_embedded_serve(). */
swiftgi_status sgi_embedded_resume(swiftgi_request *x, uint32_t events);

/* Whether the client is known to be gone: member of swiftgi_server. */
bool sgi_embedded_is_client_gone(swiftgi_request *x);

#endif /* SGI_EMBEDDED_H */
