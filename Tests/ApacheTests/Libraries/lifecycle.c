/* An application that says in the log that it starts and stops. With the macro
 * TRAPS it traps in start(). Its paths:
 *   /trap   the thread that start() made traps
 *   /wait   does not come back; stop() then prints a line that it does not end
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "swiftgi.h"

static const swiftgi_server *server;
static sem_t signal_to_trap;
static volatile int is_waiting;

static swiftgi_bytes bytes(const char *text)
{
    swiftgi_bytes bytes = { text, strlen(text) };
    return bytes;
}

static void say(const char *text)
{
    server->log(server, NULL, SWIFTGI_LOG_NOTICE, bytes(text));
}

static void *trap(void *unused)
{
    while (sem_wait(&signal_to_trap) < 0) continue;
    __builtin_trap();
    return unused;
}

static swiftgi_status start(void *application, const swiftgi_server *given)
{
    pthread_t thread;

    server = given;
    say("lifecycle starts");
#ifdef TRAPS
    __builtin_trap();
#endif
    sem_init(&signal_to_trap, 0, 0);
    return pthread_create(&thread, NULL, trap, NULL) == 0 ? SWIFTGI_OK : SWIFTGI_FAILED;
}

static int is_path(swiftgi_request *request, const char *path)
{
    swiftgi_bytes value = { NULL, 0 };

    return server->variable(request, bytes("PATH_INFO"), &value) && value.count == strlen(path)
           && !memcmp(value.start, path, value.count);
}

static swiftgi_status handle(void *application, swiftgi_request *request)
{
    static const char text[] = "alive\n";
    swiftgi_status status;

    if (is_path(request, "/trap")) sem_post(&signal_to_trap);
    if (is_path(request, "/wait")) {
        is_waiting = 1;
        say("lifecycle waits");
        for (;;) pause();
    }
    status = server->start(request, 200, bytes(""), sizeof(text) - 1);
    return status == SWIFTGI_OK ? server->write(request, bytes(text), SWIFTGI_LAST) : status;
}

static void stop(void *application, uint32_t grace)
{
    say("lifecycle stops");
    if (is_waiting) printf("an unfinished line");
}

const swiftgi_application_table *swiftgi_application(void)
{
    static const swiftgi_application_table table = {
        .abi = SWIFTGI_ABI_VERSION,
        .size = sizeof(table),
        .name = { "lifecycle", 9 },
        .compiler = { "C", 1 },
        .start = start,
        .handle = handle,
        .stop = stop,
    };
    /* Another table each time, as libraries of Swift make them. */
    swiftgi_application_table *copy = malloc(sizeof(table));

    if (copy) memcpy(copy, &table, sizeof(table));
    return copy;
}
