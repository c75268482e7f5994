/* sgi_keepalive.c: connections between two requests.
 *
 * The event MPM gives a connection to its listener after each request, and the listener gives it
 * to a thread when the next one comes: two changes to the set that is polled, a queue, and two
 * or three switches of threads. A client that asks for one thing after the other, as a proxy or
 * a load balancer does, has the next request there before all that is done. So the thread that
 * has served a request of ours waits for the next a moment itself, and serves it if it comes.
 *
 * It does so only while at most half of the threads have a connection: whoever else comes finds
 * one that is free. With a client that takes its time it soon does so no more. */
#include "sgi_keepalive.h"
#include "sgi_config.h"
#include "sgi_output.h"

#include <ap_mpm.h>
#include <scoreboard.h>

#include <poll.h>

/* After waits in vain so many requests of a client come by way of the listener, at most. */
#define MOST_SKIPPED 64

static int threads;
static int inside; /* threads that have a connection; atomic */

void sgi_keepalive_start(void)
{
    int is_async = 0;

    threads = inside = 0;
    ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async);
    /* Other MPMs leave a connection on its thread anyway. */
    if (is_async) ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
}

void sgi_keepalive_enter(void)
{
    __atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED);
}

void sgi_keepalive_leave(void)
{
    __atomic_sub_fetch(&inside, 1, __ATOMIC_RELAXED);
}

void sgi_keepalive_begin(const request_rec *r, sgi_keepalive *k)
{
    const server_rec *s =
        r->server->keep_alive_timeout_set ? r->server : r->connection->base_server;

    k->is_ours = 1;
    k->limit = s->keep_alive_timeout;
}

/* Whether the MPM would send what is left, and then wait for another request. */
static int is_between_requests(const conn_rec *c)
{
    int state = 0;

    return c->cs && c->cs->state == CONN_STATE_WRITE_COMPLETION
           && c->cs->sense == CONN_SENSE_DEFAULT && c->keepalive == AP_CONN_KEEPALIVE
           && !c->aborted && !c->data_in_input_filters
           && ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
           && state != AP_MPMQ_STOPPING;
}

int sgi_keepalive_wait(conn_rec *c, sgi_keepalive *k, int client)
{
    apr_interval_time_t limit = sgi_config_global()->keepalive_wait;
    struct pollfd item = { .fd = client, .events = POLLIN };
    struct timespec time;

    if (!k->is_ours || limit <= 0 || !is_between_requests(c)) return 0;
    if (k->left > 0) {
        k->left--;
        return 0;
    }
    if (2 * __atomic_load_n(&inside, __ATOMIC_RELAXED) > threads) return 0;
    sgi_output_send_on(c);
    if (c->aborted || c->data_in_output_filters) return 0;
    ap_update_child_status(c->sbh, SERVER_BUSY_KEEPALIVE, NULL);
    if (limit > k->limit) limit = k->limit;
    time.tv_sec = (time_t)apr_time_sec(limit);
    time.tv_nsec = (long)apr_time_usec(limit) * 1000;
    if (ppoll(&item, 1, &time, NULL) > 0) {
        k->skipped = 0;
        return 1;
    }
    k->skipped = k->skipped ? 2 * k->skipped : 1;
    if (k->skipped > MOST_SKIPPED) k->skipped = MOST_SKIPPED;
    k->left = k->skipped;
    return 0;
}
