/* sgi_link.c: connections to the daemons of a group.
 *
 * Each carries one request at a time and is kept when that has ended, the last one used to be
 * the next: few stay warm. Whether a daemon has closed one meanwhile need not be asked: on a
 * Unix socket the first write fails, and nothing of the request was sent.
 *
 * What a daemon has not read yet the system counts (SIOCOUTQ). That tells, without a word from
 * the daemon, whether a request still waits for one to take it up: the queue that queue-limit
 * and queue-timeout are about. */
#include "sgi_link.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What is kept of connections without a request, for each backend in each child: so many, for
 * so long. */
#define KEPT_LINKS 256
#define KEPT_SECONDS 60

/* How many that are too old are closed at a time. */
#define PRUNED_LINKS 4

/* For a daemon to take a connection, if queue-timeout does not say. */
#define CONNECT_SECONDS 60

/* How long a receive waits at most: as short as the system's clock for such allows. */
#define PATIENCE_MICROSECONDS 1000

/* Descriptors that are taken with one message, to be closed if they are more than one. */
#define DESCRIPTORS 4

typedef struct links {
    const sgi_backend *backend;
    struct links *next;

    pthread_mutex_t mutex;
    sgi_link *first, *last; /* without a request, the last one used first */
    int count;              /* of them */
    sgi_link *busy;         /* with a request */
    int waiting;            /* of those, that no daemon is known to have taken up; atomic */
} links;

struct sgi_link {
    links *owner;
    sgi_link *next, *previous; /* in one of the owner's lists, under its mutex */
    int fd;                    /* -1: not connected yet; of the busy, under the owner's mutex */
    int is_used;               /* boolean: it has served a request before */
    int is_taken;              /* boolean, atomic: a daemon has its request */
    uint16_t last_id;
    apr_time_t since; /* when its last request ended */
    int descriptor;   /* that came with what was received, or -1 */
};

/* All backends of this child that had a request, the newest first; atomic. */
static links *all;
static pthread_mutex_t all_mutex = PTHREAD_MUTEX_INITIALIZER;

void sgi_link_start(void)
{
    all = NULL;
}

static links *find(links *from, const sgi_backend *backend)
{
    for (; from; from = from->next) {
        if (from->backend == backend) return from;
    }
    return NULL;
}

static links *links_of(const sgi_backend *backend)
{
    links *found = find(__atomic_load_n(&all, __ATOMIC_ACQUIRE), backend);

    if (found) return found;
    pthread_mutex_lock(&all_mutex);
    found = find(all, backend);
    if (!found && (found = calloc(1, sizeof(*found))) != NULL) {
        pthread_mutex_init(&found->mutex, NULL);
        found->backend = backend;
        found->next = all;
        __atomic_store_n(&all, found, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&all_mutex);
    return found;
}

/* ---- lists; the owner's mutex is held ---- */

static void push(sgi_link **first, sgi_link *link)
{
    link->previous = NULL;
    link->next = *first;
    if (*first) (*first)->previous = link;
    *first = link;
}

static void take_out(sgi_link **first, sgi_link *link)
{
    if (link->next) link->next->previous = link->previous;
    if (link->previous) link->previous->next = link->next;
    else *first = link->next;
    link->next = link->previous = NULL;
}

static void push_kept(links *owner, sgi_link *link)
{
    push(&owner->first, link);
    if (!owner->last) owner->last = link;
    owner->count++;
}

static void take_kept(links *owner, sgi_link *link)
{
    if (owner->last == link) owner->last = link->previous;
    take_out(&owner->first, link);
    owner->count--;
}

static int is_old(const sgi_link *link, apr_time_t now)
{
    return now > link->since + apr_time_from_sec(KEPT_SECONDS);
}

/* Takes out some that are too many or too old; a list of them, through `next`. */
static sgi_link *prune(links *owner, apr_time_t now)
{
    sgi_link *pruned = NULL, *link;
    int i;

    for (i = 0; i < PRUNED_LINKS && (link = owner->last) != NULL; i++) {
        if (owner->count <= KEPT_LINKS && !is_old(link, now)) break;
        take_kept(owner, link);
        link->next = pruned;
        pruned = link;
    }
    return pruned;
}

/* ---- the queue ---- */

static void note_taken(sgi_link *link)
{
    if (!__atomic_exchange_n(&link->is_taken, 1, __ATOMIC_RELAXED)) {
        __atomic_sub_fetch(&link->owner->waiting, 1, __ATOMIC_RELAXED);
    }
}

/* Whether a daemon has read all. */
static int has_been_read(const sgi_link *link)
{
    int left = 0;

    return link->fd >= 0 && ioctl(link->fd, SIOCOUTQ, &left) == 0 && left == 0;
}

void sgi_link_note_answer(sgi_link *link)
{
    note_taken(link);
}

int sgi_link_is_taken(sgi_link *link)
{
    if (__atomic_load_n(&link->is_taken, __ATOMIC_RELAXED)) return 1;
    if (!has_been_read(link)) return 0;
    note_taken(link);
    return 1;
}

/* Whether there is no place for one more. What is known of others may be old, so they are looked
 * at before one is turned away. The owner's mutex is held. */
static int is_full(links *owner)
{
    int limit = owner->backend->group->queue_limit;
    sgi_link *link;

    if (limit <= 0 || __atomic_load_n(&owner->waiting, __ATOMIC_RELAXED) < limit) return 0;
    for (link = owner->busy; link; link = link->next) sgi_link_is_taken(link);
    return __atomic_load_n(&owner->waiting, __ATOMIC_RELAXED) >= limit;
}

/* ---- opening and closing ---- */

static void destroy(sgi_link *link)
{
    if (link->fd >= 0) close(link->fd);
    if (link->descriptor >= 0) close(link->descriptor);
    free(link);
}

static void destroy_all(sgi_link *pruned)
{
    while (pruned) {
        sgi_link *next = pruned->next;

        destroy(pruned);
        pruned = next;
    }
}

static void set_timeout(int fd, int option, apr_interval_time_t timeout)
{
    struct timeval value;

    value.tv_sec = (time_t)apr_time_sec(timeout);
    value.tv_usec = (suseconds_t)apr_time_usec(timeout);
    setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/* Sockets are made by httpd's parent, as root or as the user that this child is. */
static int is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
           && (peer.uid == 0 || peer.uid == geteuid());
}

/* Connects. A Unix socket that does not wait is refused if the queue of the listener is full at
 * the moment, so it waits. */
static sgi_link_result connect_to(const sgi_backend *backend, int *connected)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    apr_interval_time_t timeout = backend->group->queue_timeout;
    size_t length = strlen(backend->socket);
    int fd, rc;

    if (length >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return SGI_LINK_REFUSED;
    }
    memcpy(address.sun_path, backend->socket, length);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return SGI_LINK_REFUSED;
    set_timeout(fd, SO_SNDTIMEO, timeout > 0 ? timeout : apr_time_from_sec(CONNECT_SECONDS));
    set_timeout(fd, SO_RCVTIMEO, PATIENCE_MICROSECONDS);
    do {
        rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        int error = errno;

        close(fd);
        errno = error;
        return error == EAGAIN ? SGI_LINK_LATE : SGI_LINK_REFUSED;
    }
    if (!is_ours(fd)) {
        close(fd);
        return SGI_LINK_FORBIDDEN;
    }
    *connected = fd;
    return SGI_LINK_OPEN;
}

static sgi_link *make(links *owner)
{
    sgi_link *link = calloc(1, sizeof(*link));

    if (!link) return NULL;
    link->owner = owner;
    link->fd = link->descriptor = -1;
    return link;
}

/* Takes it out of those with a request. */
static void detach(sgi_link *link)
{
    note_taken(link);
    pthread_mutex_lock(&link->owner->mutex);
    take_out(&link->owner->busy, link);
    pthread_mutex_unlock(&link->owner->mutex);
}

sgi_link_result sgi_link_open(const sgi_backend *backend, int is_new, sgi_link **result)
{
    links *owner = links_of(backend);
    sgi_link_result outcome;
    sgi_link *link;
    int fd, error;

    if (!owner) return SGI_LINK_REFUSED;
    pthread_mutex_lock(&owner->mutex);
    /* A request that is sent anew has had its place. */
    if (!is_new && is_full(owner)) {
        pthread_mutex_unlock(&owner->mutex);
        return SGI_LINK_FULL;
    }
    link = is_new ? NULL : owner->first;
    if (link) take_kept(owner, link);
    else link = make(owner);
    if (link) {
        link->is_taken = 0;
        push(&owner->busy, link);
        __atomic_add_fetch(&owner->waiting, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&owner->mutex);
    if (!link) return SGI_LINK_REFUSED;
    if (link->is_used && is_old(link, apr_time_now())) {
        pthread_mutex_lock(&owner->mutex);
        fd = link->fd;
        link->fd = -1;
        pthread_mutex_unlock(&owner->mutex);
        close(fd);
        link->is_used = 0;
    }
    if (link->fd < 0) {
        outcome = connect_to(backend, &fd);
        if (outcome != SGI_LINK_OPEN) {
            error = errno;
            detach(link);
            destroy(link);
            errno = error;
            return outcome;
        }
        pthread_mutex_lock(&owner->mutex);
        link->fd = fd;
        pthread_mutex_unlock(&owner->mutex);
    }
    *result = link;
    return SGI_LINK_OPEN;
}

void sgi_link_keep(sgi_link *link)
{
    links *owner = link->owner;
    sgi_link *pruned;

    note_taken(link);
    link->is_used = 1;
    link->since = apr_time_now();
    pthread_mutex_lock(&owner->mutex);
    take_out(&owner->busy, link);
    push_kept(owner, link);
    pruned = prune(owner, link->since);
    pthread_mutex_unlock(&owner->mutex);
    destroy_all(pruned);
}

void sgi_link_close(sgi_link *link)
{
    detach(link);
    destroy(link);
}

int sgi_link_is_used(const sgi_link *link)
{
    return link->is_used;
}

uint16_t sgi_link_next_id(sgi_link *link)
{
    if (++link->last_id == 0) link->last_id = 1;
    return link->last_id;
}

/* ---- sending and receiving ---- */

ssize_t sgi_link_send(sgi_link *link, const void *bytes, size_t count)
{
    ssize_t sent;

    do {
        sent = send(link->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

/* Takes descriptors out of a message. Returns 0 if there is one too many. */
static int take_descriptors(sgi_link *link, struct msghdr *message)
{
    int is_good = !(message->msg_flags & MSG_CTRUNC), fds[DESCRIPTORS];
    struct cmsghdr *control;
    size_t count, i;

    for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
        count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count > DESCRIPTORS) count = DESCRIPTORS;
        memcpy(fds, CMSG_DATA(control), count * sizeof(int));
        for (i = 0; i < count; i++) {
            if (link->descriptor < 0) {
                link->descriptor = fds[i];
            }
            else {
                close(fds[i]);
                is_good = 0;
            }
        }
    }
    return is_good;
}

ssize_t sgi_link_receive(sgi_link *link, void *buffer, size_t capacity, int waits)
{
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec piece = { .iov_base = buffer, .iov_len = capacity };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    ssize_t count;

    do {
        count = recvmsg(link->fd, &message, MSG_CMSG_CLOEXEC | (waits ? 0 : MSG_DONTWAIT));
    } while (count < 0 && errno == EINTR);
    if (count >= 0 && message.msg_controllen > 0 && !take_descriptors(link, &message)) {
        errno = EBADMSG;
        return -1;
    }
    return count;
}

int sgi_link_poll(const sgi_link *link, int microseconds)
{
    struct pollfd item = { .fd = link->fd, .events = POLLIN };
    struct timespec timeout = { .tv_nsec = microseconds * 1000L };

    return ppoll(&item, 1, &timeout, NULL) > 0;
}

int sgi_link_take_descriptor(sgi_link *link)
{
    int descriptor = link->descriptor;

    link->descriptor = -1;
    return descriptor;
}

int sgi_link_descriptor(const sgi_link *link)
{
    return link->fd;
}
