/* sgi_exchange.h: one request as the module's files share it. */
#ifndef SGI_EXCHANGE_H
#define SGI_EXCHANGE_H

#include "sgi_config.h"
#include "sgi_target.h"

#include <util_filter.h>

/* The state of one request from its handler to its end. Made by the handler in the
 * request's pool; used by the thread that serves the request and by no other, but for
 * what the watcher has (sgi_wait.c) while the request is suspended. */
struct swiftgi_request {
    request_rec *r;
    const sgi_dir_config *config;
    sgi_library *library;
    const sgi_target *target;
    const char *application; /* its name, for the log */
    /* Goes on with the request when it was suspended; as sgi_embedded_resume(). NULL: it can't
     * be suspended. */
    swiftgi_status (*resume)(swiftgi_request *x, uint32_t events);
    int entry_status;   /* r->status before: an error document's is its error's */
    const char *method; /* what the application sees, after SwiftGIMapHEADToGET */

    /* sgi_input.c */
    apr_bucket_brigade *input;   /* NULL: nothing was read yet */
    swiftgi_status input_status; /* not SWIFTGI_OK: what every further read gets */
    int input_ended;             /* boolean: there is no more */
    apr_off_t received;          /* bytes of the body */
    int has_waited;              /* boolean: there was nothing to read, and not the end */
    int input_error;             /* HTTP status of an input filter's error, or 0 */
    int reading;                 /* boolean: input filters run at the moment */
    ap_filter_t *guard;          /* keeps their errors from the output; or NULL */

    /* sgi_output.c */
    apr_bucket_brigade *output; /* NULL: nothing was written yet */
    int started;                /* boolean: start() was called */
    apr_off_t remaining;        /* what the length leaves to be sent; -1: any number */
    int sent;                   /* boolean: a piece was passed on, and the head before it */
    int complete;               /* boolean: the last piece was taken */
    int unwanted;               /* boolean: no piece of the body goes anywhere any more */
    int answered;               /* boolean: httpd has answered in the middle of it */
    int has_validator;          /* boolean: the head has ETag or Last-Modified */
    int answer;                 /* a status that httpd answers instead, or 0 */
    int failure;                /* what httpd answers if it fails, in place of what the outcome
                                   says; or 0 */
    apr_table_t *surviving;     /* fields that its answer gets; NULL: none */
    apr_table_t *interim;       /* the fields of an informational head; or NULL */
    int interim_status;         /* its status, or 0 */

    /* sgi_wait.c */
    swiftgi_waker *waker;     /* or NULL: it has not waited yet */
    void *task;               /* the application's, while it is suspended */
    uint32_t interest;        /* what it waits for */
    uint32_t events;          /* what has come while it was suspended */
    apr_time_t waiting_since; /* for this; 0: not any more */
    apr_time_t aside_since;   /* when it was suspended */
    apr_time_t deadline;      /* or 0 */
    apr_time_t alarm;         /* when it wants to be woken; or 0 */
    int knows_of_stop;        /* boolean: it was told that the server ends */
    int is_nested;            /* boolean: another request is being served around it */

    /* sgi_daemon.c */
    struct sgi_forward *forward; /* NULL: it is not served by a daemon */
};

#endif /* SGI_EXCHANGE_H */
