/* sgi_route.h: which requests go to which process group, and so which libraries are run by
 * whom. */
#ifndef SGI_ROUTE_H
#define SGI_ROUTE_H

#include "sgi_group.h"

/* sgi_config.h */
typedef struct sgi_alias sgi_alias;
typedef struct sgi_dir_config sgi_dir_config;

/* What a directive says about a process group. Its meaning is known when the whole
 * configuration was read. */
typedef struct sgi_route {
    const char *name;
    const sgi_group *group; /* NULL: embedded, or there is no such group to be had here */
    int is_embedded;        /* boolean: %{GLOBAL} */
    const char *directive;
    const char *where; /* file:line */
    const server_rec *server;
    const char *section; /* the section it stands in: "<Location", …; NULL: none */
    const char *path;    /* of that section */
    struct sgi_route *next;
} sgi_route;

/* pre_config: forgets what an earlier reading of the configuration left. */
void sgi_route_reset(apr_pool_t *pconf);

/* What a directive means with `name`; or NULL with what is wrong in `*wrong`. */
sgi_route *sgi_route_declare(cmd_parms *cmd, const char *name, const char **wrong);

/* check_config, before all others: finds out what all names mean and which libraries run
 * where. */
int sgi_route_resolve(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* Logs what is wrong with the routes, at a level; the number of mistakes. */
int sgi_route_check(server_rec *s, int level);

/* The group that a request is for: `*group` is NULL for the embedded mode. Returns OK, or
 * the status to answer with after it was logged. `alias` may be NULL. */
int sgi_route_select(request_rec *r, const sgi_alias *alias, const sgi_dir_config *config,
                     const sgi_group **group);

#endif /* SGI_ROUTE_H */
