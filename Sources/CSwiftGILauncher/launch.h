/* launch.h: what the parts of the launcher know of each other. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include "swiftgi_launch.h"
#include "swiftgi.h"

#include <stdbool.h>
#include <sys/types.h>

#define LAUNCH_SOFTWARE "SwiftGI/0.1.0"

/* What the arguments say. */
typedef struct launch_options {
    const char *program;     /* for messages */
    const char *library;     /* NULL: the application is in this executable */
    const char *address;     /* NULL: nothing to listen at, or a descriptor that was found */
    const char *script_name; /* NULL: as the web server says */
    const char *socket_group;
    uint32_t protocol; /* 0: to be recognised */
    int processes;     /* 0: no supervision */
    int socket_mode;   /* -1: as the umask says */
    int backlog;       /* connections that wait to be accepted */
    uint64_t max_requests;
    int listener; /* -1: none yet */
    bool is_bound_here;
    int board;        /* memory that is shared with a supervisor; -1: there is none */
    int ready;        /* gets a byte for what a supervisor has to know; -1: there is none */
    bool checks_peer; /* only the user serve.peer may connect */
    char socket_path[108]; /* of the socket that was bound here, or "" */
    swiftgi_serve_options serve;
} launch_options;

/* Writes a line to standard error, as the server does. */
void launch_log(const launch_options *options, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads the arguments. -1: go on; else the status to end with. */
int launch_parse(launch_options *options, int argc, char *const argv[], bool has_table);

/* Opens the listening socket that `address` names. false: it was said why. */
bool launch_listen(launch_options *options);

/* Whether a descriptor is a listening socket. */
bool launch_is_listening(int descriptor);

/* Removes the socket's file, if this process has made it. */
void launch_unlink(const launch_options *options);

/* Loads the application and serves; `ready` gets a byte when requests are served, and is closed
 * then unless it is that of the options; -1: none. Returns the status to end with. */
int launch_serve(const launch_options *options, const swiftgi_application_table *table,
                 int ready);

/* Keeps `processes` processes serving until it is told to stop; the status to end with. */
int launch_supervise(launch_options *options, const swiftgi_application_table *table);

#endif /* LAUNCH_H */
