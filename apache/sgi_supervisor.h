/* sgi_supervisor.h: the module's side of the supervisor, the process that owns the daemons. */
#ifndef SGI_SUPERVISOR_H
#define SGI_SUPERVISOR_H

#include "sgi_private.h"

/* post_config: makes the sockets that there are not yet, starts the supervisor if it does
 * not run, and tells it the configuration. */
int sgi_supervisor_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s);

/* monitor: tries again to start a supervisor that could not be started at once. */
int sgi_supervisor_monitor(apr_pool_t *p, server_rec *s);

/* child_init: children command no supervisor, and hold no socket open. */
void sgi_supervisor_child_init(apr_pool_t *pchild, server_rec *s);

#endif /* SGI_SUPERVISOR_H */
