/* sgi_group.h: process groups: what SwiftGIDaemonProcess says of one, which requests go
 * to which, and where its daemons listen. */
#ifndef SGI_GROUP_H
#define SGI_GROUP_H

#include "sgi_private.h"

#define SGI_ACCOUNT_GROUPS 64

/* Who a process is to be. */
typedef struct sgi_account {
    const char *name; /* login name, or NULL: it has none */
    const char *home; /* home directory, or NULL */
    uid_t uid;
    gid_t gid;
    int group_count; /* supplementary groups; -1: to be found out */
    gid_t groups[SGI_ACCOUNT_GROUPS];
} sgi_account;

/* One group, made while the configuration is read and read-only in the children. Times
 * are in microseconds, 0 for none; sizes in bytes, 0 for no limit. */
typedef struct sgi_group {
    const char *name;

    /* What the module itself keeps to. */
    int queue_limit;                     /* requests that wait for a daemon, in a child */
    apr_interval_time_t queue_timeout;   /* for a daemon to take a request up */
    apr_interval_time_t request_timeout; /* for the head of the response */
    apr_interval_time_t io_timeout;      /* for the next bytes from or to a daemon */
    int threads;                         /* of each daemon */
    int processes;                       /* daemons */

    /* What the supervisor keeps to. */
    apr_interval_time_t startup_timeout, inactivity_timeout, restart_interval, cpu_time_limit,
        drain_timeout, shutdown_timeout;
    apr_int64_t maximum_requests, max_rss;
    int file_mask;                   /* umask */
    const char *user, *user_group;   /* names as configured, or NULL: httpd's */
    const char *supplementary;       /* names with commas, or NULL: the user's */
    const char *home;                /* working directory */
    const char *display_name;        /* argv[0] */
    const char *env_file;            /* or NULL */
    const char *backtrace;           /* "on", "off", a path, or NULL: as SwiftGIBacktrace */
    apr_array_header_t *environment; /* of char *, NAME=value */

    /* A program that serves HTTP, in the place of libraries. */
    const char *command;       /* as configured, or NULL: there is none */
    apr_array_header_t *words; /* of char *: the command's */
    const char *ready_path;    /* what is asked for until it is ready, or NULL: nothing */
    int has_port;              /* boolean: it listens at a port, not at a socket */

    /* What is found out afterwards. */
    const server_rec *server; /* where it was defined */
    const char *where;        /* file:line */
    sgi_account account;
    int changes_user; /* boolean: daemons have to take the account on */
    struct sgi_group *next;
} sgi_group;

/* Who waits for a process of a group with a command, in this child. */
typedef struct sgi_turns {
    apr_uint32_t waiting; /* requests */
    apr_uint32_t next;    /* whose turn it is */
} sgi_turns;

/* Where the daemons of a group that run a library listen: each pair of the two has its
 * own. Constant in a child. */
typedef struct sgi_backend {
    const sgi_group *group;
    const char *library; /* the path of the application, or of the command's program */
    const char *socket; /* the path of the Unix socket; of a command the begin of those of links
                            to addresses, as supervisor_protocol.h says */
    sgi_turns *turns;   /* of a command; else NULL */

    int on_demand; /* boolean: whether anything leads there depends on the request */
    struct sgi_backend *next;
} sgi_backend;

/* pre_config: forgets what an earlier reading of the configuration left. */
void sgi_group_reset(apr_pool_t *pconf);

/* Directives. */
const char *sgi_group_define(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *sgi_group_set_socket_directory(cmd_parms *cmd, void *dir, const char *path);
const char *sgi_group_set_launcher(cmd_parms *cmd, void *dir, const char *path);

/* What is wrong with the name of a group; NULL: nothing. */
const char *sgi_group_check_name(apr_pool_t *pool, const char *name);

/* Completes the groups with what other directives had to say first. To be called before
 * anything below. */
void sgi_group_complete(apr_pool_t *pconf);

/* Logs what is wrong with the groups, at a level; the number of mistakes. */
int sgi_group_check(server_rec *s, int level);

sgi_group *sgi_group_first(void);
const sgi_group *sgi_group_find(const char *name);

/* Adds a backend unless there is one, and returns it. */
sgi_backend *sgi_group_add_backend(apr_pool_t *pconf, const sgi_group *group,
                                   const char *library);

sgi_backend *sgi_group_backends(void);

/* The directory of the sockets, and the program that runs a library. */
const char *sgi_group_socket_directory(void);
const char *sgi_group_launcher(void);

/* The program of the supervisor, which stands beside the module. */
const char *sgi_group_supervisor(void);

/* The backend of a group with a command. */
const sgi_backend *sgi_group_server(const sgi_group *group);

/* Where the daemons of a group listen that run the library, or NULL: there are none. */
const sgi_backend *sgi_group_backend(const sgi_group *group, const char *library);

#endif /* SGI_GROUP_H */
