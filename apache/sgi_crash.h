/* sgi_crash.h: saying which application killed the process. */
#ifndef SGI_CRASH_H
#define SGI_CRASH_H

#include "sgi_private.h"

#include <signal.h>

/* child_init, before the first application is loaded: lets Swift's own crash
 * handling find what it needs, if the configuration asks for backtraces. */
void sgi_crash_prepare(server_rec *s);

/* SWIFT_BACKTRACE for processes whose crashes are to be logged: `program` is the
 * swift-backtrace, or NULL, to look for it. NULL if it can't be run; `*tried` says what. */
const char *sgi_crash_settings(apr_pool_t *pool, const char *program, const char **tried);

#define SGI_CRASH_NO_BACKTRACE "enable=no"

/* Around the loading of a library: a Swift runtime takes over the fatal signals
 * when it is loaded, if nobody has. */
void sgi_crash_before_load(void);
void sgi_crash_after_load(void);

/* Takes those signals out of a set that a crash raises in the thread itself. */
void sgi_crash_remove_signals(sigset_t *signals);

/* Around the start of an application: a crash is its, and is counted in `*crashes`
 * unless that is NULL. */
void sgi_crash_enter_start(const char *name, int *crashes);
void sgi_crash_leave_start(void);

/* Gives the calling thread a stack for signals, so that an overflow of its own is
 * reported too. Once per thread; costs a comparison after that. */
void sgi_crash_prepare_thread(void);

#endif /* SGI_CRASH_H */
