/* swiftgi_system.h: what Linux has and Swift's Glibc module does not show, as plain functions.
 *
 * Each that stands for a call returns what the call returns, with errno as the call leaves it; a call that a signal has
 * interrupted is not repeated. Callable from any thread. Descriptors that they make are closed in
 * programs that the process executes. */
#ifndef SWIFTGI_SYSTEM_H
#define SWIFTGI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Events of a watched descriptor; values are Linux's. */
enum {
    SWIFTGI_EPOLL_IN = 0x001,
    SWIFTGI_EPOLL_OUT = 0x004,
    SWIFTGI_EPOLL_ERR = 0x008,
    SWIFTGI_EPOLL_HUP = 0x010,
    SWIFTGI_EPOLL_RDHUP = 0x2000,
    SWIFTGI_EPOLL_EXCLUSIVE = 1 << 28,
    SWIFTGI_EPOLL_EDGE = 1 << 31
};

/* What swiftgi_epoll_control() does. */
enum { SWIFTGI_EPOLL_ADD = 1, SWIFTGI_EPOLL_REMOVE = 2, SWIFTGI_EPOLL_CHANGE = 3 };

/* A new set of watched descriptors, or -1. */
int swiftgi_epoll_create(void);

/* Adds, changes or removes `descriptor`, whose events come with `key`. */
int swiftgi_epoll_control(int set, int operation, int descriptor, uint32_t events,
                          uint64_t key);

/* Waits for one event, at most `milliseconds` (-1: for any time). 1: it is in `events` and `key`;
 * 0: the time is over. */
int swiftgi_epoll_wait(int set, uint32_t *events, uint64_t *key, int milliseconds);

/* The processor that the calling thread runs on at the moment, from 0 on; -1: the system does not
 * say. */
int swiftgi_processor(void);

/* How many processors the process may use, 1 or more. */
int swiftgi_processor_count(void);

/* A new counter that threads wait for, not blocking. */
int swiftgi_eventfd(void);

/* The next connection of a listening socket that does not block; the connection does. */
int swiftgi_accept(int listener);

/* Sends up to `count` bytes of a file from `*offset` on, which moves behind them, to a socket or a
 * pipe: sendfile(2). */
int64_t swiftgi_sendfile(int output, int file, int64_t *offset, size_t count);

/* The user at the other end of a Unix socket's connection. */
int swiftgi_peer_user(int connection, uint32_t *user);

/* Sends bytes, and a descriptor with the first of them, over a Unix socket; not blocking, without SIGPIPE.
 * The descriptor stays the caller's. */
long swiftgi_send_descriptor(int connection, const void *bytes, size_t count, int descriptor);

/* A descriptor that is readable when SIGTERM or SIGINT has come, which the calling thread, and those
 * that it starts later, do not receive otherwise from here on. */
int swiftgi_stop_signals(void);

/* Whether the code that this function is linked with is part of the process's program;
 * false: of a library that was loaded into it. */
bool swiftgi_is_program(void);

/* A new file in `directory` that nobody else can open and that is gone when it is closed, or -1. */
int swiftgi_open_unnamed(const char *directory);

#ifdef __cplusplus
}
#endif

#endif /* SWIFTGI_SYSTEM_H */
