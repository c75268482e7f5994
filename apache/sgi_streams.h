/* sgi_streams.h: what applications print, in the log of their request. */
#ifndef SGI_STREAMS_H
#define SGI_STREAMS_H

#include "sgi_private.h"

/* child_init, before an application is loaded: stdout and stderr of the C library
 * go to the log. */
void sgi_streams_redirect(void);

/* What a library writes to descriptors 1 and 2 goes to the log as well. `handle`
 * is dlopen's; called before the library's code makes threads. */
void sgi_streams_capture(void *handle);

/* Logs what this thread printed without ending its line. At a request's end. */
void sgi_streams_flush(void);

/* From now on everything goes to the descriptors: the log is on its way out. May
 * be called in a signal handler. */
void sgi_streams_release(void);

#endif /* SGI_STREAMS_H */
