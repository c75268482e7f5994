/* supervisor_protocol.h: what the module, the supervisor and the daemons say to each
 * other.
 *
 * The module talks and the supervisor listens, over descriptor 3, a pair of sockets of
 * type SOCK_SEQPACKET: each message is one of the structs below, in the layout of this
 * machine, since both are built together. A configuration is BEGIN, a BACKEND for each
 * pair of a group and a library, and END; it takes effect with END. The end of the
 * connection means: stop.
 *
 * A daemon is started as
 *
 *   LAUNCHER --fastcgi fd:3 --ready fd:4 --board fd:5 --threads N --grace Nms --io-timeout Nms
 *       --log-level LEVEL --peer-user UID [--max-requests N] [--inactivity-timeout Nms] LIBRARY
 *
 * with its listening socket, which is non-blocking and shared with others, as descriptor
 * 3. To descriptor 4, a pipe, it writes single bytes: 'r' when it serves requests, 'm' when
 * it has served as many requests as it was to, and 'i' when it has served some and then
 * none for the time given. It goes on serving: these ask for a replacement. (One that ends
 * by itself is replaced, too, but not before.) Descriptor 5 is shared memory, of the size of
 * swiftgi_board: there it keeps the ids of the requests that its threads serve, so that they are
 * known when it dies. SIGTERM means: accept no more, finish what there is, end. What it returns
 * is in the enumeration at the end.
 *
 * A group with a command has HTTP servers instead, which know nothing of all this: each has an
 * address of its own, a Unix socket or a port of 127.0.0.1, which stands where its words and
 * variables have %{socket} or %{port}. It is ready when it takes a connection there, or answers
 * a request for the path of SUPERVISOR_READY_PATH with a status below 400. The supervisor keeps
 * symbolic links ADDRESS.0, ADDRESS.1, ... whose content is no file but the address of a process
 * that is ready: the path of its socket or 127.0.0.1:port; or "-" in the first, while none can
 * be started. Which process a request goes to is httpd's choice; a process is told to end when
 * it is in no link and nobody is connected with it any more. */
#ifndef SUPERVISOR_PROTOCOL_H
#define SUPERVISOR_PROTOCOL_H

#include <stdint.h>

/* Goes up when anything here changes. */
#define SUPERVISOR_PROTOCOL 3

#define SUPERVISOR_CONTROL 3

/* Bytes of a message; the longest has a group's environment. */
#define SUPERVISOR_MESSAGE_LIMIT 65536

#define SUPERVISOR_GROUPS_LIMIT 64

enum supervisor_type {
    SUPERVISOR_BEGIN = 1, /* with one descriptor: the main server's error log */
    SUPERVISOR_BACKEND,   /* with two: the listening socket, the group's error log; with a
                             command only the latter */
    SUPERVISOR_END,
    SUPERVISOR_LEASE /* end, unless a configuration comes within a while */
};

/* Alone: END and LEASE. */
typedef struct supervisor_header {
    uint32_t protocol; /* SUPERVISOR_PROTOCOL */
    uint32_t type;
} supervisor_header;

/* Behind it two strings, each ended by NUL: the main server's ErrorLogFormat, "" for the
 * default, and its name. */
typedef struct supervisor_begin {
    supervisor_header header;
    int32_t level;   /* messages above are not logged, as httpd's APLOG_ numbers */
    uint32_t reload; /* boolean: replace the daemons when their library was */
} supervisor_begin;

/* The strings behind a supervisor_backend, in this order, each ended by NUL; then
 * `variables` more, NAME=value, and `words` more, a command. */
enum supervisor_string {
    SUPERVISOR_GROUP,
    SUPERVISOR_LIBRARY, /* of a command: its program */
    SUPERVISOR_LAUNCHER,
    SUPERVISOR_DISPLAY_NAME,
    SUPERVISOR_HOME,       /* working directory */
    SUPERVISOR_USER,       /* login name, or "" */
    SUPERVISOR_USER_HOME,  /* home directory, or "" */
    SUPERVISOR_BACKTRACE,  /* SWIFT_BACKTRACE */
    SUPERVISOR_ENV_FILE,   /* or "" */
    SUPERVISOR_LOG_FORMAT, /* ErrorLogFormat, or "" for the default */
    SUPERVISOR_SERVER,     /* ServerName of the log's server */
    SUPERVISOR_ADDRESS,    /* of a command: the path that links to its addresses begin with */
    SUPERVISOR_READY_PATH, /* of a command: what is asked for, or "" */
    SUPERVISOR_STRINGS
};

/* Where the processes of a group listen. */
enum supervisor_listening {
    SUPERVISOR_SHARED, /* at the listening socket, by FastCGI */
    SUPERVISOR_SOCKET, /* at a Unix socket of its own, by HTTP */
    SUPERVISOR_PORT    /* at a port of its own, by HTTP */
};

/* Times are in milliseconds. 0 is none, for what need not be. */
typedef struct supervisor_backend {
    supervisor_header header;
    uint32_t on_demand; /* boolean: start with the first connection */
    uint32_t processes;
    uint32_t threads;
    uint32_t file_mask;
    uint64_t io_timeout;
    uint64_t startup_timeout;
    uint64_t inactivity_timeout;
    uint64_t restart_interval;
    uint64_t drain_timeout;
    uint64_t shutdown_timeout;
    uint64_t cpu_time_limit;
    uint64_t maximum_requests;
    uint64_t max_rss;      /* bytes */
    uint32_t peer;         /* who may connect beside root: the user of httpd's children */
    uint32_t changes_user; /* boolean: the members below are to be taken on */
    uint32_t uid;
    uint32_t gid;
    uint32_t group_count;
    uint32_t groups[SUPERVISOR_GROUPS_LIMIT];
    uint32_t variables;
    uint32_t words;     /* 0: no command */
    uint32_t listening; /* of supervisor_listening */
} supervisor_backend;

/* How a daemon ends. */
enum supervisor_exit {
    SUPERVISOR_EXIT_OK = 0,
    SUPERVISOR_EXIT_USAGE = 64,
    SUPERVISOR_EXIT_CANNOT_START = 69,
    SUPERVISOR_EXIT_UNFINISHED = 75 /* requests were not answered in time */
};

#endif /* SUPERVISOR_PROTOCOL_H */
