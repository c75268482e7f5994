/* sgi_check.h: trying libraries in processes of their own, so that the parent
 * never loads one. */
#ifndef SGI_CHECK_H
#define SGI_CHECK_H

#include "sgi_group.h"
#include "sgi_library.h"

/* check_config: for configtest and restarts, tries every declared library as the
 * user that will run it. A refusal fails configtest; at a restart it is logged and
 * the library left alone, since an error would end the server. */
int sgi_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* open_logs: the same at start, where a refusal ends httpd. Not in check_config,
 * which also runs in a process that is only to signal one, "-k stop" say. */
int sgi_check_start(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* post_config: notes which version of each library this generation begins with,
 * and counts their crashes from 0. */
int sgi_check_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                          server_rec *s);

/* Tries one library in a child process, waiting at most 10 s. `account` is who will run it;
 * NULL: httpd's User. */
void sgi_check_library(const char *path, const sgi_account *account, sgi_verdict *verdict);

#endif /* SGI_CHECK_H */
