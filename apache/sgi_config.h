/* sgi_config.h: the settings that directives make. */
#ifndef SGI_CONFIG_H
#define SGI_CONFIG_H

#include "sgi_private.h"
#include "sgi_library.h"
#include "sgi_route.h"

/* The settings of a directory: X(type, name, unset, default). Made while the
 * configuration is read, merged on the way to a request, read-only from then. */
#define SGI_DIR_SETTINGS(X) \
    X(int, pass_authorization, -1, SGI_AUTO)                    /* an sgi_switch */ \
    X(int, map_head_to_get, -1, SGI_AUTO)                       /* an sgi_switch */ \
    X(apr_interval_time_t, request_timeout, -1, 0)              /* 0: none */ \
    X(int, error_override, -1, 0)                               /* boolean */ \
    X(const apr_array_header_t *, error_statuses, NULL, NULL)   /* of int; NULL: all */ \
    X(const sgi_route *, process_group, NULL, NULL)             /* NULL: embedded */ \
    X(const apr_array_header_t *, permitted_groups, NULL, NULL) /* of char *; NULL: all */

typedef enum sgi_switch { SGI_OFF, SGI_ON, SGI_AUTO } sgi_switch;

#define SGI_MEMBER(type, name, unset, standard) type name;
struct sgi_dir_config {
    SGI_DIR_SETTINGS(SGI_MEMBER)
};

/* One SwiftGIScriptAlias, SwiftGIScriptAliasMatch or SwiftGIServerAlias. */
struct sgi_alias {
    const char *path; /* without slash at its end, "" for "/"; NULL: a pattern */
    apr_size_t path_length;
    ap_regex_t *pattern;            /* NULL: a path */
    const char *target;             /* the library's path, or a template with $0 to $9; of a
                                       server alias the name of the group */
    sgi_library *library;           /* NULL if the target depends on the request */
    const sgi_route *process_group; /* NULL: as the settings of the directory say */
    int is_server;                  /* boolean: it leads to HTTP servers */
    const char *server_path; /* what they see in the place of `path`, without slash at its
                                       end; NULL: the same */
};

/* The settings of a server: its own aliases before those it inherits. */
typedef struct sgi_server_config {
    apr_array_header_t *aliases; /* of sgi_alias */
} sgi_server_config;

/* What holds for the whole server, not for one virtual host. Set while the
 * configuration is read, read-only from then on. */
typedef struct sgi_global_config {
    int reload;                         /* boolean */
    int restrict_embedded;              /* boolean */
    int backtrace;                      /* boolean */
    const char *backtracer;             /* path of swift-backtrace, or NULL: look for it */
    apr_interval_time_t keepalive_wait; /* for a connection's next request; 0: not at all */
} sgi_global_config;

extern const command_rec sgi_config_commands[];

/* pre_config: forgets what an earlier reading of the configuration left. */
int sgi_config_reset(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

const sgi_global_config *sgi_config_global(void);

void *sgi_config_create_dir(apr_pool_t *pool, char *path);
void *sgi_config_merge_dir(apr_pool_t *pool, void *base, void *add);
void *sgi_config_create_server(apr_pool_t *pconf, server_rec *s);
void *sgi_config_merge_server(apr_pool_t *pconf, void *base, void *add);

/* The settings for a request, defaults filled in; lives as long as the request. */
const sgi_dir_config *sgi_config_for(request_rec *r);

#endif /* SGI_CONFIG_H */
