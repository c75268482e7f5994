/* sgi_group.h: process groups: what SwiftGIDaemonProcess says of one, and where its
 * daemons listen. */
#ifndef SGI_GROUP_H
#define SGI_GROUP_H

#include "sgi_private.h"

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
} sgi_group;

/* Where the daemons of a group that run a library listen: each pair of the two has its
 * own. Constant in a child. */
typedef struct sgi_backend {
    const sgi_group *group;
    const char *library; /* the path of the application */
    const char *socket;  /* the path of the Unix socket */
} sgi_backend;

#endif /* SGI_GROUP_H */
