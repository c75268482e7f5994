/* system.c: see swiftgi_system.h. */
#define _GNU_SOURCE
#include "swiftgi_system.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(SWIFTGI_EPOLL_IN == EPOLLIN && SWIFTGI_EPOLL_OUT == EPOLLOUT,
               "as Linux has them");
_Static_assert(SWIFTGI_EPOLL_ERR == EPOLLERR && SWIFTGI_EPOLL_HUP == EPOLLHUP,
               "as Linux has them");
_Static_assert(SWIFTGI_EPOLL_RDHUP == EPOLLRDHUP, "as Linux has it");
_Static_assert(SWIFTGI_EPOLL_EXCLUSIVE == (int)EPOLLEXCLUSIVE, "as Linux has it");
_Static_assert(SWIFTGI_EPOLL_EDGE == (int)EPOLLET, "as Linux has it");
_Static_assert(SWIFTGI_EPOLL_ADD == EPOLL_CTL_ADD, "as Linux has it");
_Static_assert(SWIFTGI_EPOLL_REMOVE == EPOLL_CTL_DEL, "as Linux has it");
_Static_assert(SWIFTGI_EPOLL_CHANGE == EPOLL_CTL_MOD, "as Linux has it");

int swiftgi_epoll_create(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

int swiftgi_epoll_control(int set, int operation, int descriptor, uint32_t events, uint64_t key)
{
    struct epoll_event event = { .events = events, .data.u64 = key };

    return epoll_ctl(set, operation, descriptor, &event);
}

int swiftgi_epoll_wait(int set, uint32_t *events, uint64_t *key, int milliseconds)
{
    struct epoll_event event;
    int count = epoll_wait(set, &event, 1, milliseconds);

    if (count > 0) {
        *events = event.events;
        *key = event.data.u64;
    }
    return count;
}

int swiftgi_processor(void)
{
    return sched_getcpu();
}

int swiftgi_processor_count(void)
{
    cpu_set_t set;

    /* On a machine with more than a set has room for, that fails. */
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int swiftgi_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int swiftgi_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

int64_t swiftgi_sendfile(int output, int file, int64_t *offset, size_t count)
{
    off64_t position = *offset;
    int64_t sent = sendfile64(output, file, &position, count);

    *offset = position;
    return sent;
}

int swiftgi_peer_user(int connection, uint32_t *user)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -1;
    *user = peer.uid;
    return 0;
}

long swiftgi_send_descriptor(int connection, const void *bytes, size_t count, int descriptor)
{
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = count };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    return sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int swiftgi_stop_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0) return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool swiftgi_is_program(void)
{
    /* The kernel says where the program's headers are. */
    const void *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
    Dl_info own, program;

    return headers && dladdr((const void *)(uintptr_t)swiftgi_is_program, &own)
           && dladdr(headers, &program) && own.dli_fbase == program.dli_fbase;
}

int swiftgi_open_unnamed(const char *directory)
{
    char path[4096];
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return descriptor;
    /* A file system without O_TMPFILE. */
    if ((size_t)snprintf(path, sizeof(path), "%s/swiftgi-XXXXXX", directory) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    descriptor = mkostemp(path, O_CLOEXEC);
    if (descriptor >= 0) unlink(path);
    return descriptor;
}
