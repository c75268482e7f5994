/* What ThreadSanitizer can't see by itself, because it happens in code that is not instrumented.
 * These functions take the place of those of the same name, and call them. Preloaded before them.
 *
 * - Swift's Mutex: its uncontended way is compiled into the modules that use it; the other way is in
 *   the Swift runtime.
 * - httpd hands the memory of a connection that has ended to the next one through a list without a
 *   lock: what is done to clear it comes before what is done behind the next accept. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define SELF __attribute__((swift_context)) void *self
#define SWIFT __attribute__((swiftcall))

void __tsan_acquire(void *);
void __tsan_release(void *);

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function) abort();
    return function;
}

/* ---- Swift ---- */

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK_SLOW);
SWIFT uint8_t try_lock_slow(SELF) __asm__(TRY_LOCK_SLOW);
SWIFT void unlock_slow(SELF) __asm__(UNLOCK_SLOW);

SWIFT void lock_slow(uint32_t thread, SELF)
{
    static SWIFT void (*real)(uint32_t, SELF);

    if (!real) real = (SWIFT void (*)(uint32_t, SELF))next(LOCK_SLOW);
    real(thread, self);
    __tsan_acquire(self);
}

SWIFT uint8_t try_lock_slow(SELF)
{
    static SWIFT uint8_t (*real)(SELF);
    uint8_t is_locked;

    if (!real) real = (SWIFT uint8_t (*)(SELF))next(TRY_LOCK_SLOW);
    is_locked = real(self);
    if (is_locked) __tsan_acquire(self);
    return is_locked;
}

SWIFT void unlock_slow(SELF)
{
    static SWIFT void (*real)(SELF);

    if (!real) real = (SWIFT void (*)(SELF))next(UNLOCK_SLOW);
    __tsan_release(self);
    real(self);
}

/* ---- httpd ---- */

struct pool;
struct socket;

static char recycled;

void apr_pool_clear(struct pool *pool);
int apr_socket_accept(struct socket **accepted, struct socket *listener, struct pool *pool);

void apr_pool_clear(struct pool *pool)
{
    static void (*real)(struct pool *);

    if (!real) real = (void (*)(struct pool *))next("apr_pool_clear");
    real(pool);
    __tsan_release(&recycled);
}

int apr_socket_accept(struct socket **accepted, struct socket *listener, struct pool *pool)
{
    static int (*real)(struct socket **, struct socket *, struct pool *);

    if (!real) real = (int (*)(struct socket **, struct socket *, struct pool *))next("apr_socket_accept");
    __tsan_acquire(&recycled);
    return real(accepted, listener, pool);
}
