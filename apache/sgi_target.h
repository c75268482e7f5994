/* sgi_target.h: which application a request is for. */
#ifndef SGI_TARGET_H
#define SGI_TARGET_H

#include "sgi_library.h"
#include "sgi_route.h"

/* Where a request leads. Lives as long as the request. */
typedef struct sgi_target {
    const sgi_alias *alias;  /* NULL: only a handler led to it */
    sgi_library *library;    /* NULL: the alias does not say */
    const char *script_name; /* never ends in a slash */
    const char *path_info;   /* empty or begins with a slash */
    int is_recalled;         /* boolean: the file is what a request before has found */
} sgi_target;

/* translate_name: takes the longest alias that matches. */
int sgi_target_translate(request_rec *r);

/* The alias of a request that leads to HTTP servers; NULL: it does not. */
const sgi_alias *sgi_target_server(request_rec *r);

/* Completes the target in the handler. Returns OK, or the status to answer with
 * after it was logged. */
int sgi_target_resolve(request_rec *r, const sgi_target **target);

#endif /* SGI_TARGET_H */
