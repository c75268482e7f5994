/* sgi_reload.h: noticing that an application library was replaced. */
#ifndef SGI_RELOAD_H
#define SGI_RELOAD_H

#include "sgi_private.h"

/* monitor: called by the parent about every ten seconds. */
int sgi_reload_monitor(apr_pool_t *p, server_rec *s);

#endif /* SGI_RELOAD_H */
