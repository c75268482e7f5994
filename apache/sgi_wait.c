/* sgi_wait.c: requests that wait.
 *
 * A request waits attached, on its thread, or suspended: the thread goes back to
 * httpd, and the connection with it, in CONN_STATE_ASYNC_WAITIO. httpd then polls
 * the descriptor of the connection's socket; while the request is suspended that is
 * the waker's eventfd in place of the client's. When it is readable, the connection comes
 * back to a worker, where process_connection finds the request and goes on with it.
 * Keep-alive, pipelining, TLS and lingering close stay httpd's.
 *
 * What the client and the daemon do meanwhile is for a thread of our own to see, the
 * watcher: it has their descriptors in an epoll set, and wakes the request. It also sees to
 * deadlines, and to httpd's own limit on the time that a connection may wait. */
#include "sgi_wait.h"
#include "sgi_embedded.h"
#include "sgi_input.h"
#include "sgi_keepalive.h"
#include "sgi_output.h"

#include <ap_mpm.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <util_filter.h>
#include <apr_portable.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define FLOW_NAME "SWIFTGI_FLOW"

/* How long requests may go on behind a graceful stop, if GracefulShutdownTimeout
 * does not say. */
#define GRACE_SECONDS 30

/* How long before httpd's parent kills them they are cancelled, so that clients get an
 * answer. */
#define ANSWER_SECONDS 1

/* How often what cannot be polled is looked at. */
#define TICK_MILLISECONDS 1000
#define STREAM_TICK_MILLISECONDS 200

/* Wakers that are kept for the next request: making one costs a system call. */
#define SPARE_WAKERS 64

/* How long a request waits on its thread for its client to take what was written. One
 * that reads does so within that time, and to put the request aside costs more. */
#define TAKING_NANOSECONDS 200000

/* How many of the watcher's events are taken at a time. */
#define WATCHER_EVENTS 64

/* In an event's number, beside a slot's: it is the daemon's, not the client's. */
#define OF_SOURCE 0x80000000u

enum waker_state {
    IDLE,    /* nothing to tell */
    WAITING, /* for a token */
    SIGNALED /* its descriptor is readable */
};

struct swiftgi_waker {
    uint32_t references; /* atomic */
    int fd;              /* an eventfd */

    /* Of the gate, under its mutex. */
    enum waker_state state;
    int is_suspended; /* boolean: its request is, and needs a token to come back */
    int has_token;    /* boolean */
    int is_queued;    /* boolean: it is in the gate's queue */
    struct swiftgi_waker *next;
};

/* Suspended requests come back on httpd's threads, no more of them at a time than
 * there are tokens: a burst of wakes must not make httpd believe that it is busy, and
 * close idle connections. */
static struct {
    pthread_mutex_t mutex;
    int tokens;
    struct swiftgi_waker *first, *last; /* those that wait for a token */
    struct swiftgi_waker *spare;
    int spares;
} gate = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* A connection, for its whole life; of its pool. */
typedef struct sgi_connection {
    conn_rec *c;
    apr_socket_t *socket;
    int client;             /* the descriptor of the client */
    int is_inside;          /* boolean: a request can be put aside: we see what comes of it */
    int is_nonblocking;     /* boolean: flushes are taken out of the output */
    int is_replaced;        /* boolean: the socket has the waker's descriptor */
    swiftgi_request *aside; /* the request that is suspended, or NULL; see aside_of() */
    int slot;               /* of the watcher, or -1 */
    uint32_t watched;       /* what epoll was asked for */
    sgi_keepalive keepalive;
} sgi_connection;

/* What the watcher knows of a connection, under its mutex. */
typedef struct watcher_slot {
    swiftgi_request *x;  /* suspended, or NULL */
    sgi_connection *k;   /* NULL: free */
    uint32_t generation; /* tells an old event */
    int is_gone;         /* boolean: the client is */
    int next;            /* the next free slot, or -1 */
} watcher_slot;

static struct {
    pthread_mutex_t mutex;
    int epoll;   /* -1: there is no watcher */
    int control; /* an eventfd: look again */
    watcher_slot *slots;
    int count;            /* of slots */
    int free;             /* the first free slot, or -1 */
    int suspended;        /* how many requests are */
    apr_time_t next_look; /* at the clock */
} watcher = { .mutex = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .control = -1 };

static struct {
    server_rec *server;
    int can_suspend;     /* boolean: the MPM can */
    apr_time_t stopping; /* when the child was told to stop, or 0; atomic */
    int killed;          /* boolean: it was told to stop without grace; atomic */
} child;

static ap_filter_rec_t *flow_record;

/* ---- wakers ---- */

static void signal_waker(swiftgi_waker *waker)
{
    static const uint64_t one = 1;

    waker->state = SIGNALED;
    /* It fails only if the counter is full, and then the descriptor is readable. */
    if (write(waker->fd, &one, sizeof(one)) < 0) return;
}

static void clear_waker(swiftgi_waker *waker)
{
    uint64_t count;

    if (read(waker->fd, &count, sizeof(count)) < 0) return;
}

/* What requests that wait must leave of the process's descriptors: libdispatch ends the
 * process if it finds none when it looks after its threads, and a log that is opened, or a
 * client that is accepted, needs one too. */
#define DESCRIPTOR_RESERVE 16

/* A descriptor to wake by, or -1. */
static int open_waker(void)
{
    struct rlimit limit;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    /* The lowest number that is free is taken: a high one says that few are. */
    if (fd >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
        && (rlim_t)fd + DESCRIPTOR_RESERVE >= limit.rlim_cur) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static swiftgi_waker *make_waker(void)
{
    swiftgi_waker *waker;

    pthread_mutex_lock(&gate.mutex);
    waker = gate.spare;
    if (waker) {
        gate.spare = waker->next;
        gate.spares--;
    }
    pthread_mutex_unlock(&gate.mutex);
    if (!waker) {
        waker = malloc(sizeof(*waker));
        if (!waker) return NULL;
        waker->fd = open_waker();
        if (waker->fd < 0) {
            free(waker);
            return NULL;
        }
    }
    waker->references = 1;
    waker->state = IDLE;
    waker->is_suspended = waker->has_token = waker->is_queued = 0;
    waker->next = NULL;
    return waker;
}

/* Nobody has it any more. The gate's mutex is held. */
static void keep_waker(swiftgi_waker *waker)
{
    if (waker->state == SIGNALED) clear_waker(waker);
    if (gate.spares < SPARE_WAKERS && waker->fd >= 0) {
        waker->next = gate.spare;
        gate.spare = waker;
        gate.spares++;
        return;
    }
    if (waker->fd >= 0) close(waker->fd);
    free(waker);
}

/* Returns whether it was the last reference. */
static int drop_reference(swiftgi_waker *waker)
{
    return __atomic_sub_fetch(&waker->references, 1, __ATOMIC_ACQ_REL) == 0;
}

void sgi_wait_release(swiftgi_waker *waker)
{
    if (!drop_reference(waker)) return;
    pthread_mutex_lock(&gate.mutex);
    keep_waker(waker);
    pthread_mutex_unlock(&gate.mutex);
}

static void retain_waker(swiftgi_waker *waker)
{
    __atomic_add_fetch(&waker->references, 1, __ATOMIC_RELAXED);
}

swiftgi_waker *sgi_wait_waker(swiftgi_request *x)
{
    if (!x->waker) x->waker = make_waker();
    if (!x->waker) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, errno, x->r, SGI_LOGNO(0060)
                      "no descriptor for a request that has to wait");
        return NULL;
    }
    retain_waker(x->waker);
    return x->waker;
}

void sgi_wait_wake(swiftgi_waker *waker)
{
    pthread_mutex_lock(&gate.mutex);
    if (waker->state == IDLE) {
        if (!waker->is_suspended) {
            signal_waker(waker);
        }
        else if (gate.tokens > 0 && !waker->has_token) {
            gate.tokens--;
            waker->has_token = 1;
            signal_waker(waker);
        }
        else {
            /* If it has a token still, the thread that it is about to leave passes that
             * on to whose turn it is. */
            waker->state = WAITING;
            if (!waker->is_queued) {
                waker->is_queued = 1;
                waker->next = NULL;
                if (gate.last) gate.last->next = waker;
                else gate.first = waker;
                gate.last = waker;
                retain_waker(waker);
            }
        }
    }
    pthread_mutex_unlock(&gate.mutex);
}

/* Gives a token to the next waker, or back. The gate's mutex is held. */
static void pass_token(void)
{
    swiftgi_waker *waker;
    int is_given = 0;

    while (!is_given && (waker = gate.first) != NULL) {
        gate.first = waker->next;
        if (!gate.first) gate.last = NULL;
        waker->next = NULL;
        waker->is_queued = 0;
        if (waker->state == WAITING) {
            waker->has_token = is_given = 1;
            signal_waker(waker);
        }
        if (drop_reference(waker)) keep_waker(waker);
    }
    if (!is_given) gate.tokens++;
}

/* The request is on a thread again: the waker can be used anew. It keeps its token
 * until the thread is done with the request. */
static void attach_waker(swiftgi_waker *waker)
{
    pthread_mutex_lock(&gate.mutex);
    if (waker->state == SIGNALED) clear_waker(waker);
    waker->state = IDLE;
    waker->is_suspended = 0;
    pthread_mutex_unlock(&gate.mutex);
}

static void return_token(swiftgi_waker *waker)
{
    pthread_mutex_lock(&gate.mutex);
    if (waker->has_token) {
        waker->has_token = 0;
        pass_token();
    }
    pthread_mutex_unlock(&gate.mutex);
}

/* ---- what ends a wait, but for the waker ---- */

static apr_time_t stopping_since(void)
{
    return __atomic_load_n(&child.stopping, __ATOMIC_ACQUIRE);
}

static void note_stop(void)
{
    apr_time_t never = 0;

    __atomic_compare_exchange_n(&child.stopping, &never, apr_time_now(), 0, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
}

/* When requests are cancelled because the server ends; 0 if it does not. */
static apr_time_t last_moment(void)
{
    apr_time_t stopping = stopping_since();
    int seconds =
        ap_graceful_shutdown_timeout > 0 ? ap_graceful_shutdown_timeout : GRACE_SECONDS;

    if (!stopping) return 0;
    return stopping
           + apr_time_from_sec(seconds > ANSWER_SECONDS ? seconds - ANSWER_SECONDS : seconds);
}

/* The earlier of two times, of which 0 is none. */
static apr_time_t earlier(apr_time_t a, apr_time_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* When the clock has something for a request by its own wish, or 0. */
static apr_time_t next_time(const swiftgi_request *x)
{
    return earlier(x->deadline, x->alarm);
}

/* Events that only a clock brings; tells of a stop once. */
static uint32_t timed_events(swiftgi_request *x, uint32_t interest, apr_time_t now)
{
    apr_time_t last = last_moment();
    uint32_t events = 0;

    if (x->deadline && now >= x->deadline) events |= SWIFTGI_DEADLINE;
    if (x->alarm && now >= x->alarm) events |= SWIFTGI_WOKEN;
    if (last && !x->knows_of_stop) {
        x->knows_of_stop = 1;
        events |= SWIFTGI_STOPPING;
    }
    if ((last && now >= last) || __atomic_load_n(&child.killed, __ATOMIC_ACQUIRE)) {
        events |= SWIFTGI_SHUTDOWN;
    }
    if ((interest & (SWIFTGI_READABLE | SWIFTGI_WRITABLE))
        && now >= x->waiting_since + x->r->server->timeout) {
        events |= SWIFTGI_STALLED;
    }
    return events;
}

/* ---- waiting on the thread ---- */

static swiftgi_status wait_attached(swiftgi_request *x, int source, short source_events,
                                    uint32_t *events)
{
    conn_rec *c = x->r->connection;
    struct pollfd items[2] = { { .fd = source, .events = source_events }, { .fd = -1 } };
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd;
    apr_pollfd_t pollfd;

    if (c->master) {
        /* A stream of HTTP/2 can be asked whether there is input; its output waits
         * by itself. */
        if (x->interest & SWIFTGI_WRITABLE) *events |= SWIFTGI_WRITABLE;
        memset(&pollfd, 0, sizeof(pollfd));
        pollfd.p = x->r->pool;
        pollfd.reqevents = APR_POLLIN;
        if ((x->interest & SWIFTGI_READABLE)
            && ap_get_pollfd_from_conn(c, &pollfd, NULL) == APR_SUCCESS
            && pollfd.desc_type == APR_POLL_FILE
            && apr_os_file_get(&fd, pollfd.desc.f) == APR_SUCCESS) {
            items[1].fd = fd;
            items[1].events = POLLIN;
        }
    }
    else if (socket && apr_os_sock_get(&fd, socket) == APR_SUCCESS) {
        items[1].fd = fd;
        items[1].events = POLLRDHUP;
        if (x->interest & SWIFTGI_READABLE) items[1].events |= POLLIN;
        if (x->interest & SWIFTGI_WRITABLE) items[1].events |= POLLOUT;
    }
    while (!*events) {
        int tick = c->master ? STREAM_TICK_MILLISECONDS : TICK_MILLISECONDS;
        apr_time_t end = earlier(next_time(x), last_moment());
        int count, state = 0;

        if (end) {
            apr_time_t left = end - apr_time_now();

            if (left < apr_time_from_msec(tick))
                tick = left > 0 ? (int)apr_time_as_msec(left) + 1 : 0;
        }
        count = poll(items, 2, tick);
        if (count > 0) {
            if (items[0].revents) *events |= SWIFTGI_WOKEN;
            if (items[1].revents & POLLIN) *events |= SWIFTGI_READABLE;
            if (items[1].revents & POLLOUT) *events |= SWIFTGI_WRITABLE;
            if (c->master ? items[1].revents & (POLLHUP | POLLERR) : 0)
                *events |= SWIFTGI_READABLE;
            /* A stop without grace closes descriptors under those who poll them. */
            if (!c->master && (items[1].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))) {
                *events |= SWIFTGI_GONE;
            }
        }
        /* Prefork's children hear of a graceful stop by a signal, which runs no hook. */
        if (!stopping_since() && ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
            && state == AP_MPMQ_STOPPING) {
            note_stop();
        }
        if (c->aborted || (c->master && c->master->aborted)) *events |= SWIFTGI_GONE;
        *events |= timed_events(x, x->interest, apr_time_now());
    }
    if (*events & (SWIFTGI_READABLE | SWIFTGI_WRITABLE | SWIFTGI_STALLED)) x->waiting_since = 0;
    /* For the access log, and so that nobody writes to it. */
    if (*events & SWIFTGI_GONE) c->aborted = 1;
    if (x->waker) attach_waker(x->waker);
    return SWIFTGI_OK;
}

/* ---- the watcher ---- */

static void wake_watcher(void)
{
    static const uint64_t one = 1;

    /* Whoever stops the process comes without the mutex, maybe in a signal's handler. */
    int control = __atomic_load_n(&watcher.control, __ATOMIC_ACQUIRE);

    if (control >= 0 && write(control, &one, sizeof(one)) < 0) return;
}

/* The watcher's mutex is held. */
static void tell(swiftgi_request *x, uint32_t events)
{
    x->events |= events;
    sgi_wait_wake(x->waker);
}

static void note_event(const struct epoll_event *event)
{
    uint32_t number = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32);
    uint32_t index = number & ~OF_SOURCE, events = 0;
    watcher_slot *slot;

    pthread_mutex_lock(&watcher.mutex);
    slot = index < (uint32_t)watcher.count ? &watcher.slots[index] : NULL;
    if (slot && slot->k && slot->generation == generation && (number & OF_SOURCE)) {
        /* It may be one that the request before waited for, on the same connection: then this
         * one wakes in vain. */
        if (slot->x) tell(slot->x, SWIFTGI_WOKEN);
    }
    else if (slot && slot->k && slot->generation == generation) {
        if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
            slot->is_gone = 1;
            events |= SWIFTGI_GONE;
        }
        if (slot->x) {
            if (event->events & EPOLLIN) events |= slot->x->interest & SWIFTGI_READABLE;
            if (event->events & EPOLLOUT) events |= slot->x->interest & SWIFTGI_WRITABLE;
            if (events) tell(slot->x, events);
        }
    }
    pthread_mutex_unlock(&watcher.mutex);
}

/* httpd lets a connection wait no longer than its Timeout: one that waits for our
 * reasons comes back before that, and waits anew. */
static apr_time_t next_pulse(const swiftgi_request *x)
{
    const server_rec *base = x->r->connection->base_server;
    apr_interval_time_t limit =
        base->timeout < x->r->server->timeout ? base->timeout : x->r->server->timeout;

    return x->aside_since + limit / 2;
}

/* When the clock has something for the request, at the latest. */
static apr_time_t next_event(const swiftgi_request *x)
{
    return earlier(next_pulse(x), earlier(next_time(x), last_moment()));
}

/* Returns when to look next. */
static apr_time_t look_at_clock(void)
{
    apr_time_t now = apr_time_now(), next = now + apr_time_from_msec(TICK_MILLISECONDS);
    int i;

    pthread_mutex_lock(&watcher.mutex);
    for (i = 0; i < watcher.count; i++) {
        swiftgi_request *x = watcher.slots[i].x;

        if (x) {
            uint32_t events = timed_events(x, x->interest, now);

            if (events || now >= next_pulse(x)) tell(x, events);
            else if (next_event(x) < next) next = next_event(x);
        }
    }
    watcher.next_look = next;
    pthread_mutex_unlock(&watcher.mutex);
    return next;
}

static void *watch(void *unused)
{
    struct epoll_event events[WATCHER_EVENTS];
    apr_time_t next = 0;

    for (;;) {
        int timeout, count, i;

        pthread_mutex_lock(&watcher.mutex);
        timeout = -1;
        if (watcher.suspended > 0) {
            apr_time_t left = next - apr_time_now();

            timeout = left > 0 ? (int)apr_time_as_msec(left) + 1 : 0;
        }
        pthread_mutex_unlock(&watcher.mutex);
        count = epoll_wait(watcher.epoll, events, WATCHER_EVENTS, timeout);
        for (i = 0; i < count; i++) {
            if (events[i].data.u64 == UINT64_MAX) {
                uint64_t ignored;

                if (read(watcher.control, &ignored, sizeof(ignored)) > 0) next = 0;
            }
            else {
                note_event(&events[i]);
            }
        }
        if (apr_time_now() >= next) next = look_at_clock();
    }
    return NULL;
}

/* The watcher's mutex is held. */
static int start_watcher(void)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
    sigset_t all, before;
    pthread_t thread;
    int control, failed;

    if (watcher.epoll >= 0) return 1;
    watcher.epoll = epoll_create1(EPOLL_CLOEXEC);
    control = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    __atomic_store_n(&watcher.control, control, __ATOMIC_RELEASE);
    watcher.free = -1;
    if (watcher.epoll < 0 || control < 0
        || epoll_ctl(watcher.epoll, EPOLL_CTL_ADD, control, &event) < 0) {
        failed = 1;
    }
    else {
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        failed = pthread_create(&thread, NULL, watch, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!failed) pthread_detach(thread);
    }
    if (failed) {
        __atomic_store_n(&watcher.control, -1, __ATOMIC_RELEASE);
        if (watcher.epoll >= 0) close(watcher.epoll);
        if (control >= 0) close(control);
        watcher.epoll = -1;
    }
    return !failed;
}

/* The watcher's mutex is held. Returns whether there is a slot. */
static int take_slot(sgi_connection *k)
{
    watcher_slot *slot;

    if (watcher.free < 0) {
        int count = watcher.count ? 2 * watcher.count : 256, i;
        watcher_slot *slots = realloc(watcher.slots, sizeof(*slots) * (size_t)count);

        if (!slots) return 0;
        memset(slots + watcher.count, 0, sizeof(*slots) * (size_t)(count - watcher.count));
        for (i = watcher.count; i < count; i++) slots[i].next = i + 1 < count ? i + 1 : -1;
        watcher.free = watcher.count;
        watcher.slots = slots;
        watcher.count = count;
    }
    k->slot = watcher.free;
    slot = &watcher.slots[k->slot];
    watcher.free = slot->next;
    slot->x = NULL;
    slot->k = k;
    slot->is_gone = 0;
    return 1;
}

/* The watcher's mutex is held. Returns whether epoll looks at the client. */
static int watch_client(sgi_connection *k, uint32_t interest)
{
    struct epoll_event event;
    int operation = EPOLL_CTL_MOD;

    if (k->slot < 0) {
        if (!take_slot(k)) return 0;
        operation = EPOLL_CTL_ADD;
    }
    event.events = EPOLLRDHUP | EPOLLET;
    if (interest & SWIFTGI_READABLE) event.events |= EPOLLIN;
    if (interest & SWIFTGI_WRITABLE) event.events |= EPOLLOUT;
    /* Who waits for input or output asks anew: epoll tells of a change only once. */
    if (operation == EPOLL_CTL_MOD && event.events == k->watched
        && !(interest & (SWIFTGI_READABLE | SWIFTGI_WRITABLE))) {
        return 1;
    }
    k->watched = event.events;
    event.data.u64 = (uint64_t)watcher.slots[k->slot].generation << 32 | (uint32_t)k->slot;
    return epoll_ctl(watcher.epoll, operation, k->client, &event) == 0;
}

/* The watcher's mutex is held. Returns whether epoll tells of the source, once. It forgets it
 * when it is closed. */
static int watch_source(const sgi_connection *k, const sgi_source *source)
{
    struct epoll_event event = { .events = EPOLLONESHOT };

    if (source->events & POLLIN) event.events |= EPOLLIN;
    if (source->events & POLLOUT) event.events |= EPOLLOUT;
    event.data.u64 =
        (uint64_t)watcher.slots[k->slot].generation << 32 | OF_SOURCE | (uint32_t)k->slot;
    return epoll_ctl(watcher.epoll, EPOLL_CTL_MOD, source->fd, &event) == 0
           || (errno == ENOENT
               && epoll_ctl(watcher.epoll, EPOLL_CTL_ADD, source->fd, &event) == 0);
}

/* The connection ends, or its descriptor is about to. */
static void unwatch_client(sgi_connection *k, int is_open)
{
    pthread_mutex_lock(&watcher.mutex);
    if (k->slot >= 0) {
        watcher_slot *slot = &watcher.slots[k->slot];

        if (is_open) epoll_ctl(watcher.epoll, EPOLL_CTL_DEL, k->client, NULL);
        if (slot->x) watcher.suspended--;
        slot->x = NULL;
        slot->k = NULL;
        slot->generation++;
        slot->next = watcher.free;
        watcher.free = k->slot;
        k->slot = -1;
    }
    pthread_mutex_unlock(&watcher.mutex);
}

/* ---- suspending ---- */

static sgi_connection *connection_of(conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &swiftgi_module);
}

/* The way back leads through process_connection to a request that httpd itself has handed to
 * its handler. */
int sgi_wait_can_suspend(const swiftgi_request *x)
{
    const request_rec *r = x->r;
    const conn_rec *c = r->connection;
    const sgi_connection *k = connection_of(r->connection);

    return child.can_suspend && k && k->is_inside && c->cs && !c->master
           && !c->clogging_input_filters && !r->main && !r->prev && !x->is_nested && x->resume;
}

void sgi_wait_begin(swiftgi_request *x)
{
    conn_rec *c = x->r->connection;
    sgi_connection *k = c->master ? NULL : connection_of(c);

    if (k) sgi_keepalive_begin(x->r, &k->keepalive);
}

/* A connection is one thread's at a time. httpd hands it to the next one under a lock, or, when
 * it is to be closed, by an atomic exchange alone. */
static swiftgi_request *aside_of(const sgi_connection *k)
{
    return __atomic_load_n(&k->aside, __ATOMIC_ACQUIRE);
}

static void set_aside(sgi_connection *k, swiftgi_request *x)
{
    __atomic_store_n(&k->aside, x, __ATOMIC_RELEASE);
}

/* Puts a request aside, which has a waker; `source`: what it waits for beside that, or NULL.
 * Returns whether that was possible. */
static int suspend(swiftgi_request *x, void *task, const sgi_source *source)
{
    sgi_connection *k = connection_of(x->r->connection);
    watcher_slot *slot;
    int is_early;

    pthread_mutex_lock(&watcher.mutex);
    if (!start_watcher() || !watch_client(k, x->interest)
        || (source && source->fd >= 0 && !watch_source(k, source))) {
        pthread_mutex_unlock(&watcher.mutex);
        return 0;
    }
    x->task = task;
    x->events = 0;
    x->aside_since = apr_time_now();
    set_aside(k, x);
    pthread_mutex_lock(&gate.mutex);
    x->waker->is_suspended = 1;
    pthread_mutex_unlock(&gate.mutex);
    slot = &watcher.slots[k->slot];
    slot->x = x;
    is_early = watcher.suspended++ == 0 || next_event(x) < watcher.next_look;
    if (slot->is_gone) tell(x, SWIFTGI_GONE);
    pthread_mutex_unlock(&watcher.mutex);
    if (is_early) wake_watcher();
    return 1;
}

/* Takes a request up again. Returns what has come. */
static uint32_t take_up(sgi_connection *k)
{
    swiftgi_request *x = aside_of(k);
    uint32_t events;

    pthread_mutex_lock(&watcher.mutex);
    if (k->slot >= 0 && watcher.slots[k->slot].x) {
        watcher.slots[k->slot].x = NULL;
        watcher.suspended--;
    }
    events = x->events;
    pthread_mutex_unlock(&watcher.mutex);
    set_aside(k, NULL);
    attach_waker(x->waker);
    return events ? events : SWIFTGI_WOKEN;
}

/* Whether the client takes what was written at once. */
static int is_taken_soon(swiftgi_request *x)
{
    static const struct timespec limit = { .tv_nsec = TAKING_NANOSECONDS };
    sgi_connection *k = connection_of(x->r->connection);
    struct pollfd item = { .events = POLLOUT };

    if (!k || x->r->connection->master) return 0;
    item.fd = k->client;
    return ppoll(&item, 1, &limit, NULL) > 0 && (item.revents & POLLOUT) && sgi_output_drain(x);
}

/* Notes what a request waits for. Returns 0 if that is there already. */
static int begin_wait(swiftgi_request *x, uint32_t interest, uint32_t *events)
{
    if (interest != x->interest || !x->waiting_since) x->waiting_since = apr_time_now();
    x->interest = interest;
    if ((interest & SWIFTGI_WRITABLE) && (sgi_output_drain(x) || is_taken_soon(x))) {
        *events = SWIFTGI_WRITABLE;
        x->waiting_since = 0;
        return 0;
    }
    return 1;
}

swiftgi_status sgi_wait_wait(swiftgi_request *x, void *task, uint32_t interest,
                             uint32_t *events)
{
    *events = 0;
    if (interest & SWIFTGI_POLL) {
        if (sgi_embedded_is_client_gone(x)) *events |= SWIFTGI_GONE;
        *events |= timed_events(x, 0, apr_time_now());
        if (*events & SWIFTGI_GONE) x->r->connection->aborted = 1;
        return SWIFTGI_OK;
    }
    if (!x->waker) return SWIFTGI_SERVER_ERROR;
    if (!begin_wait(x, interest, events)) return SWIFTGI_OK;
    if (sgi_wait_can_suspend(x) && suspend(x, task, NULL)) return SWIFTGI_SUSPENDED;
    return wait_attached(x, x->waker->fd, POLLIN, events);
}

swiftgi_status sgi_wait_source(swiftgi_request *x, const sgi_source *source, uint32_t interest,
                               uint32_t *events)
{
    *events = 0;
    if (!begin_wait(x, interest, events)) return SWIFTGI_OK;
    if (sgi_wait_can_suspend(x)) {
        if (!x->waker) x->waker = make_waker();
        if (x->waker && suspend(x, NULL, source)) return SWIFTGI_SUSPENDED;
    }
    return wait_attached(x, source->fd, source->events, events);
}

/* ---- coming back ---- */

static void finish(sgi_connection *k, swiftgi_request *x, swiftgi_status outcome)
{
    request_rec *r = x->r;
    conn_rec *c = r->connection;
    int status;

    sgi_input_discard(x);
    status = sgi_output_finish(x, outcome);
    sgi_wait_end(x);
    ap_die(status, r);
    ap_process_request_after_handler(r);
    if (c->aborted) c->cs->state = CONN_STATE_LINGER;
}

static void go_on(sgi_connection *k, uint32_t more)
{
    swiftgi_request *x = aside_of(k);
    conn_rec *c = k->c;
    swiftgi_waker *waker = x->waker;
    uint32_t events = take_up(k) | more;
    swiftgi_status status;

    /* The waker outlives the request, which may end here. */
    retain_waker(waker);
    ap_update_child_status(c->sbh, SERVER_BUSY_WRITE, x->r);
    if (events & SWIFTGI_GONE) c->aborted = 1;
    if ((events & SWIFTGI_WRITABLE) && !sgi_output_drain(x)) {
        events &= ~(uint32_t)SWIFTGI_WRITABLE;
        if (c->aborted) events |= SWIFTGI_GONE;
    }
    if (events & (SWIFTGI_READABLE | SWIFTGI_WRITABLE | SWIFTGI_STALLED)) x->waiting_since = 0;
    status = x->resume(x, events ? events : SWIFTGI_WOKEN);
    if (status == SWIFTGI_SUSPENDED && aside_of(k) && (more & SWIFTGI_ABANDONED)) {
        /* It has had its last call. */
        take_up(k);
        status = SWIFTGI_FAILED;
    }
    if (status != SWIFTGI_SUSPENDED || !aside_of(k)) finish(k, x, status);
    return_token(waker);
    sgi_wait_release(waker);
}

static int process_requests(conn_rec *c, sgi_connection *k)
{
    k->keepalive.is_ours = 0;
    return ap_run_process_connection(c);
}

static int process_connection(conn_rec *c)
{
    sgi_connection *k = connection_of(c);
    int status = OK;

    if (!k || k->is_inside) return DECLINED;
    sgi_keepalive_enter();
    k->is_inside = 1;
    if (aside_of(k)) {
        c->cs->state = CONN_STATE_HANDLER;
        go_on(k, 0);
    }
    else {
        status = process_requests(c, k);
    }
    while (status == OK && !aside_of(k) && sgi_keepalive_wait(c, &k->keepalive, k->client)) {
        c->cs->state = CONN_STATE_PROCESSING;
        status = process_requests(c, k);
    }
    k->is_inside = 0;
    sgi_keepalive_leave();
    if (aside_of(k)) {
        c->cs->state = CONN_STATE_ASYNC_WAITIO;
        c->cs->sense = CONN_SENSE_WANT_READ;
        status = OK;
    }
    return status;
}

static void replace_descriptor(sgi_connection *k, int fd)
{
    apr_os_sock_t descriptor = fd;

    apr_os_sock_put(&k->socket, &descriptor, k->c->pool);
}

/* Before the MPM polls the connection. */
static void suspend_connection(conn_rec *c, request_rec *r)
{
    sgi_connection *k = connection_of(c);

    if (k && aside_of(k) && !k->is_replaced) {
        replace_descriptor(k, aside_of(k)->waker->fd);
        k->is_replaced = 1;
    }
}

/* Before anything else is done with it, or before its pool goes. */
static void resume_connection(conn_rec *c, request_rec *r)
{
    sgi_connection *k = connection_of(c);

    if (k && k->is_replaced) {
        replace_descriptor(k, k->client);
        k->is_replaced = 0;
    }
}

/* The connection ends under a request: httpd's own limit, or a kill. */
static int pre_close_connection(conn_rec *c)
{
    sgi_connection *k = connection_of(c);

    if (!k) return OK;
    if (aside_of(k)) {
        c->aborted = 1;
        go_on(k, SWIFTGI_GONE | SWIFTGI_ABANDONED);
        c->cs->state = CONN_STATE_LINGER;
    }
    unwatch_client(k, 1);
    return OK;
}

/* The connection's memory goes, and whatever still is. */
static apr_status_t drop_connection(void *data)
{
    sgi_connection *k = data;
    apr_os_sock_t fd;

    if (k->is_replaced && apr_os_sock_get(&fd, k->socket) == APR_SUCCESS && fd < 0) {
        /* httpd could not poll what stands in, and has closed it for the client. */
        aside_of(k)->waker->fd = -1;
        close(k->client);
    }
    if (aside_of(k)) {
        swiftgi_request *x = aside_of(k);
        swiftgi_waker *waker = x->waker;

        k->c->aborted = 1;
        retain_waker(waker);
        x->resume(x, take_up(k) | SWIFTGI_GONE | SWIFTGI_ABANDONED);
        sgi_wait_end(x);
        return_token(waker);
        sgi_wait_release(waker);
    }
    unwatch_client(k, 0);
    return APR_SUCCESS;
}

void sgi_wait_end(swiftgi_request *x)
{
    if (!x->waker) return;
    sgi_wait_release(x->waker);
    x->waker = NULL;
}

/* ---- the connection ---- */

/* To flush is to wait for the client. What an application writes without waiting loses
 * its flushes here, behind the filters that need them (TLS), and is then handed to the
 * core's filter once more, which sends what it can. */
static apr_status_t flow_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    const sgi_connection *k = f->ctx;
    apr_bucket *e, *next;

    if (k->is_nonblocking) {
        for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = next) {
            next = APR_BUCKET_NEXT(e);
            if (APR_BUCKET_IS_FLUSH(e)) apr_bucket_delete(e);
        }
    }
    return ap_pass_brigade(f->next, bb);
}

int sgi_wait_set_nonblocking(swiftgi_request *x, int nonblocking)
{
    conn_rec *c = x->r->connection;
    sgi_connection *k = c->master ? NULL : connection_of(c);
    int before = 0;

    if (k) {
        before = k->is_nonblocking;
        k->is_nonblocking = nonblocking;
    }
    return before;
}

static int pre_connection(conn_rec *c, void *csd)
{
    sgi_connection *k;
    apr_os_sock_t fd;

    if (c->master || !csd || apr_os_sock_get(&fd, csd) != APR_SUCCESS) return OK;
    k = apr_pcalloc(c->pool, sizeof(*k));
    k->c = c;
    k->socket = csd;
    k->client = fd;
    k->slot = -1;
    ap_set_module_config(c->conn_config, &swiftgi_module, k);
    ap_add_output_filter_handle(flow_record, k, NULL, c);
    apr_pool_pre_cleanup_register(c->pool, k, drop_connection);
    return OK;
}

/* ---- the child ---- */

static void child_stopping(apr_pool_t *pchild, int graceful)
{
    /* This may be a signal handler. Without grace httpd waits for nobody but those who
     * have a thread. */
    if (graceful) note_stop();
    else __atomic_store_n(&child.killed, 1, __ATOMIC_RELEASE);
    wake_watcher();
}

void sgi_wait_start(apr_pool_t *pchild, server_rec *s)
{
    int can_wait = 0, threads = 1;

    child.server = s;
    child.stopping = 0;
    child.killed = 0;
#ifdef AP_MPMQ_CAN_WAITIO
    ap_mpm_query(AP_MPMQ_CAN_WAITIO, &can_wait);
#endif
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    child.can_suspend = can_wait;
    gate.tokens = threads > 4 ? threads / 4 : 1;
    sgi_keepalive_start();
}

void sgi_wait_register(apr_pool_t *pool)
{
    flow_record = ap_register_output_filter(FLOW_NAME, flow_filter, NULL, AP_FTYPE_NETWORK - 1);
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(suspend_connection, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_resume_connection(resume_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_close_connection(pre_close_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
