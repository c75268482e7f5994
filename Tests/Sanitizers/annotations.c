/* What ThreadSanitizer has to be told of Swift's Mutex. Its uncontended way is compiled into the
 * modules that use it, and seen; the other way is in the Swift runtime, which is not instrumented:
 * these functions take the place of the runtime's and call them. Preloaded before the runtime. */
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
