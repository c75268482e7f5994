/* A library for the tests of what httpd refuses. Macros choose what is wrong:
 * ABI          the number of the binary interface
 * COMPILER     what it says it was built by
 * NO_SYMBOL    exports nothing
 * NO_TABLE     gives no table
 * CRASHES      traps while it is loaded
 * HANGS        does not come back from being loaded
 * UNRESOLVED   needs a function that nobody has
 * FAILS        does not start
 */
#include <stdlib.h>
#include <unistd.h>

#include "swiftgi.h"

#ifndef ABI
#define ABI SWIFTGI_ABI_VERSION
#endif
#ifndef COMPILER
#define COMPILER "C"
#endif

#ifdef CRASHES
__attribute__((constructor)) static void crash(void) { abort(); }
#endif

#ifdef HANGS
__attribute__((constructor)) static void hang(void) { for (;;) pause(); }
#endif

#ifdef UNRESOLVED
void no_such_function_anywhere(void);
void call_it(void) { no_such_function_anywhere(); }
#endif

static const swiftgi_server *server;

static swiftgi_status start(void *application, const swiftgi_server *given)
{
    server = given;
#ifdef FAILS
    return SWIFTGI_FAILED;
#else
    return SWIFTGI_OK;
#endif
}

static swiftgi_status handle(void *application, swiftgi_request *request)
{
    static const char text[] = "served by C\n";
    swiftgi_bytes none = { NULL, 0 }, body = { text, sizeof(text) - 1 };
    swiftgi_status status = server->start(request, 200, none, (int64_t)body.count);

    return status == SWIFTGI_OK ? server->write(request, body, SWIFTGI_LAST | SWIFTGI_IMMORTAL) : status;
}

static void stop(void *application, uint32_t grace) {}

#ifndef NO_SYMBOL
const swiftgi_application_table *swiftgi_application(void)
{
#ifdef NO_TABLE
    return NULL;
#else
    static const swiftgi_application_table table = {
        .abi = ABI,
        .size = sizeof(table),
        .name = { "library", 7 },
        .compiler = { COMPILER, sizeof(COMPILER) - 1 },
        .start = start,
        .handle = handle,
        .stop = stop,
    };
    return &table;
#endif
}
#endif
